"""What `vitrail bench gpu` measures, how large, and within what time."""

from dataclasses import dataclass
from typing import Any, Literal

from vitrail.bench.core.report import RoundsPlan
from vitrail.errors import UsageError
from vitrail.runtime.providers import Provider

# Each part, and its share of the time: a slow part leaves the later ones theirs.
SHARES = {"tests": 0.2, "fit": 0.17, "infer": 0.22, "train": 0.13, "data": 0.1, "serve": 0.18}
PARTS = tuple(SHARES)
MINUTES = 9.0
MAX_MINUTES = 25.0
PROVIDERS: tuple[Provider, ...] = ("cuda", "tensorrt")
Device = Literal["cuda", "cpu"]


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """The command measures on `cuda`; tests run the same code on `cpu` with small sizes."""

    parts: tuple[str, ...] = PARTS
    minutes: float = MINUTES
    name: str = "vit_small_patch16_224"  # of timm, in infer and serve
    train_names: tuple[str, ...] = ("vit_small_patch16_224", "vit_base_patch16_224")
    size: int = 224
    batches: tuple[int, ...] = (1, 32)  # in infer; 32 is the largest batch of the server
    train_batch: int = 128
    fed_names: tuple[str, ...] = ("deit_tiny_patch16_224", "vit_small_patch16_224")  # in data
    fed_steps: int = 40  # of one turn in data
    photos: int = 1024  # in data
    images: str | None = None  # in fit; without them it is absent
    recipes: tuple[str, ...] = ("small-cnn", "small-vit")  # in fit
    fit_size: int = 32
    fit_steps: int = 4000
    connections: tuple[int, ...] = (1, 16, 64)  # in serve
    load_seconds: float = 4.0  # of one load in serve
    matrix: int = 8192  # side of the matrices that measure the ceiling
    compiled: bool = True  # measure torch.compile too
    providers: tuple[Provider, ...] = PROVIDERS  # of onnxruntime
    device: Device = "cuda"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise UsageError(f"parts of this measurement are {', '.join(PARTS)}, not {','.join(self.parts) or 'none'}")
        if not 0 < self.minutes <= MAX_MINUTES:
            raise UsageError(f"a run takes more than 0 and at most {MAX_MINUTES:g} minutes, not {self.minutes:g}")
        if min((*self.batches, self.train_batch, *self.connections, self.size, self.fit_size, self.fit_steps)) < 1:
            raise UsageError("sizes, batches, steps and connections are at least 1")

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Plan":
        """From JSON, which has lists in place of tuples."""
        tuples: dict[str, Any] = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
        return cls(**plain | tuples)


Status = Literal["measured", "passed", "absent", "failed", "not run"]
Figures = dict[str, float]
NO_TIME = "no time left"


@dataclass(frozen=True)
class Row:
    """One measurement: its figures, or why there are none. `absent` is no failure."""

    part: str
    name: str
    status: Status
    figures: Figures
    reason: str = ""
