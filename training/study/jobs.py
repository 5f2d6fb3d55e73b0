"""Jobs: one training run each, named after what it is; and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

Files = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """Train this contender on so many labelled images; `tries` says that the run only helps to choose a rate."""

    contender: str
    size: int
    seed: int
    rate: float
    tries: bool = False

    @property
    def name(self) -> str:
        """Of its folder; only runs that try a rate differ in nothing but that."""
        end = f"-tune-{self.rate:.3g}" if self.tries else ""
        return f"{self.contender}-{self.size}-s{self.seed}{end}"

    def __str__(self) -> str:
        what = f", rate {self.rate:.3g}" if self.tries else ""
        return f"{self.contender}, {self.size:,} images, seed {self.seed}{what}"


@dataclass(frozen=True)
class Result:
    """What plan and seed determine: on a CPU these are the same wherever and whenever a run runs."""

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
class Timing:
    """What the machine determines. `startup` is what its worker needed before its first run, else 0."""

    seconds: float
    training_seconds: float
    images_per_second: float
    startup: float
    joules: float | None
    worker: str


@dataclass(frozen=True)
class Done:
    """A finished run: its result, or why there is none."""

    job: Job
    result: Result | None = None
    timing: Timing | None = None
    files: Files = field(default_factory=dict)
    fault: str | None = None


def tries(contenders: Iterable[tuple[str, float]], sizes: Iterable[int], factors: Iterable[float],
          seeds: Iterable[int]) -> list[Job]:  # fmt: skip
    """Every contender with every learning rate at every size where rates are chosen."""
    return [
        Job(name, size, seed, rate * factor, tries=True)
        for size in sorted(sizes, reverse=True)
        for name, rate in contenders
        for factor in factors
        for seed in seeds
    ]
