"""Jobs: one training run each, and what a finished run returns."""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Files = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """Train `contender` on `size` labelled images; with `tries`, only to choose a learning rate or a length."""

    contender: str
    size: int
    seed: int
    rate: float
    tries: bool = False
    steps: int | None = None  # None: as the plan says

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        length = "" if self.steps is None else f"-{self.steps}"
        end = f"-tune-{self.rate:.3g}{length}" if self.tries else ""
        return f"{self.contender}-{self.size}-s{self.seed}{end}"

    def __str__(self) -> str:
        length = "" if self.steps is None else f", {self.steps:,} steps"
        rate = f", rate {self.rate:.3g}" if self.tries else ""
        return f"{self.contender}, {self.size:,} images{length}, seed {self.seed}{rate}"


@dataclass(frozen=True)
class Result:
    """Figures determined by plan and seed: on a CPU they are the same on every machine."""

    train_images: int
    val_images: int
    steps: int
    best_step: int
    train_error: float
    val_error: float
    val_loss: float
    test_error: float
    test_loss: float
    calibration_error: float
    parameters: int
    flops: int


@dataclass(frozen=True)
class WrongImages:
    """The test images that a run predicts wrongly, one bit each: all that the statistics of a study need of them."""

    images: int
    bits: str  # in base64

    @classmethod
    def of(cls, wrong: NDArray[np.bool_]) -> "WrongImages":
        return cls(len(wrong), b64encode(np.packbits(wrong).tobytes()).decode())

    def as_array(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(b64decode(self.bits, validate=True), np.uint8)
        return np.unpackbits(bits, count=self.images).astype(np.bool_)


@dataclass(frozen=True)
class Timing:
    """Figures determined by the machine. `startup`: seconds the worker needed before its first run, else 0."""

    seconds: float
    training_seconds: float
    images_per_second: float
    startup: float
    joules: float | None
    worker: str


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended: its result, or the fault that prevented one."""

    job: Job
    result: Result | None = None
    timing: Timing | None = None
    wrong: WrongImages | None = None
    files: Files = field(default_factory=dict)
    fault: str | None = None


def rate_trials(contenders: Iterable[tuple[str, float]], sizes: Iterable[int], factors: Iterable[float],
                seeds: Iterable[int], steps: int | None = None) -> list[Job]:  # fmt: skip
    """Every contender with every learning rate at every tuned size, the longest runs first."""
    return [
        Job(name, size, seed, rate * factor, tries=True, steps=steps)
        for size in sorted(sizes, reverse=True)
        for name, rate in contenders
        for factor in factors
        for seed in seeds
    ]
