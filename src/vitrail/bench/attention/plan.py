"""What to measure of attention, and how long."""

from dataclasses import dataclass

from vitrail.attention import MECHANISMS
from vitrail.attention.choice import part
from vitrail.bench.core.rounds import MIN_ROUNDS
from vitrail.errors import UsageError

REFERENCE = "softmax"  # with which all others are compared
WIDTH = 192
HEADS = 3


@dataclass(frozen=True)
class Plan:
    """Square grids of these sides, and one call forward and backward of each mechanism on each."""

    sides: tuple[int, ...] = (16, 24, 32, 64)
    mechanisms: tuple[str, ...] = tuple(MECHANISMS)
    rounds: int = 7
    seconds: float = 0.1
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.mechanisms:
            part("attention", name, MECHANISMS)
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"{self.rounds} rounds say too little: measure at least {MIN_ROUNDS}")
        if not self.sides or min(self.sides) < 1 or len(set(self.sides)) < len(self.sides):
            raise UsageError("grids have sides of at least 1 place, and each is measured once")
        if self.seconds <= 0:
            raise UsageError("a turn takes more than 0 seconds")
        if self.threads < 1:
            raise UsageError("there is at least 1 thread")
        object.__setattr__(self, "sides", tuple(sorted(self.sides)))
