"""What `vitrail bench gpu` is to measure, how large, and within what time."""

from dataclasses import dataclass
from typing import Any, Literal

from vitrail.errors import UsageError
from vitrail.runtime.providers import Provider

# Each part, and its share of the time: a slow part leaves the later ones theirs.
SHARES = {"tests": 0.25, "infer": 0.3, "train": 0.25, "serve": 0.2}
PARTS = tuple(SHARES)
MINUTES = 9.0
MAX_MINUTES = 25.0
PROVIDERS: tuple[Provider, ...] = ("cuda", "tensorrt")
Device = Literal["cuda", "cpu"]


@dataclass(frozen=True)
class Plan:
    """The command measures on `cuda`; `cpu` and small sizes run the same code where there is no GPU, in tests."""

    parts: tuple[str, ...] = PARTS
    minutes: float = MINUTES
    name: str = "vit_small_patch16_224"  # of timm, in infer and serve
    train_names: tuple[str, ...] = ("vit_small_patch16_224", "vit_base_patch16_224")
    size: int = 224
    batches: tuple[int, ...] = (1, 32)  # in infer; 32 is the largest batch of the server
    train_batch: int = 128
    connections: tuple[int, ...] = (1, 16, 64)  # in serve
    rounds: int = 7
    seconds: float = 0.4  # of one turn
    load_seconds: float = 4.0  # of one load in serve
    matrix: int = 8192  # rows and columns of the matrices that measure the ceiling
    compiled: bool = True  # measure torch.compile too
    providers: tuple[Provider, ...] = PROVIDERS  # of onnxruntime
    device: Device = "cuda"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise UsageError(f"parts of this measurement are {', '.join(PARTS)}, not {','.join(self.parts) or 'none'}")
        if not 0 < self.minutes <= MAX_MINUTES:
            raise UsageError(f"a run takes more than 0 and at most {MAX_MINUTES:g} minutes, not {self.minutes:g}")
        if min((*self.batches, self.train_batch, *self.connections, self.size)) < 1:
            raise UsageError("sizes, batches and connections are at least 1")

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Plan":
        """Back from JSON, whose lists were tuples."""
        tuples: dict[str, Any] = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
        return cls(**plain | tuples)


Status = Literal["measured", "passed", "absent", "failed", "not run"]
Figures = dict[str, float]
NO_TIME = "no time left"


@dataclass(frozen=True)
class Row:
    """One thing that was to be measured: its figures, or why there are none. `absent` is no fault, `failed` is."""

    part: str
    name: str
    status: Status
    figures: Figures
    reason: str = ""
