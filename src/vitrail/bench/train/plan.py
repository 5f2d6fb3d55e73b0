"""What `vitrail bench train` measures, and how long."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitrail.bench.data.plan import PhotosPlan
from vitrail.errors import UsageError
from vitrail.training.precision import PLAIN, Execution, Precision

OURS, TIMM, FOLDER = CONTENDERS = ("vitrail", "timm", "ImageFolder")
PIPELINE, NETWORK, BOTH = PARTS = ("pipeline alone", "network alone", "both")
PROCESSES = "processes"  # vitrail alone, the steps of an epoch on one batch, divided among processes
ONE, TWO = WORLDS = ("one process", "two processes")
# The same for all contenders: AdamW, its weight decay, and label smoothing.
RATE, WEIGHT_DECAY, SMOOTHING = 1e-3, 0.05, 0.1


@dataclass(frozen=True, kw_only=True)
class Plan(PhotosPlan):
    """A turn is one epoch, or as many steps on one batch."""

    images: int = 256
    precision: Precision | Literal["auto"] = "32-true"
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        super().__post_init__()
        known = (*PARTS, PROCESSES)
        if not self.parts or not set(self.parts) <= set(known):
            raise UsageError(f"parts of this measurement are {', '.join(known)}, not {','.join(self.parts) or 'none'}")
        if PROCESSES in self.parts and self.images < 2 * self.batch:
            raise UsageError(f"{self.images} images make no batch of {self.batch} in each of two processes")

    @property
    def execution(self) -> Execution:
        """Of the others, where vitrail's is measured: float32."""
        return PLAIN if self.precision == "auto" else Execution(self.precision)

    @property
    def steps(self) -> int:
        """Of an epoch: the last images, which fill no batch, are left out."""
        return self.images // self.batch

    def trained(self, name: str) -> int:
        """Images of an epoch, of all processes."""
        together = self.batch * world_of(name)
        return self.images // together * together

    @property
    def turns(self) -> int:
        """One before the first round, in which caches fill and workers start, is not counted."""
        return self.rounds + 1


def contenders_of(part: str) -> tuple[str, ...]:
    return WORLDS if part == PROCESSES else CONTENDERS


def world_of(name: str) -> int:
    return 2 if name == TWO else 1


@dataclass(frozen=True)
class Setup:
    """Where the photos of a run are, and where vitrail keeps them decoded."""

    plan: Plan
    folder: Path

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


# Asking for the next turn ends the one before it.
Turns = Iterator[None]
Contender = Callable[[Setup, str, Turns], None]  # does one part in every turn
