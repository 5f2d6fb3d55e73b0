"""Two contenders at one size, compared image by image: the gap, its interval, who is ahead and how surely."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import SeedSpread

LOW, HIGH = 0.05, 0.95  # all intervals are 90 % ones


@dataclass(frozen=True)
class Gap:
    """Error of the first less that of the second: a mean, and a normal scatter for every point of a posterior."""

    mean: float
    scatter: Floats  # [P]
    probability: Floats  # [P]

    def below(self, value: float) -> float:
        """How probable it is that the true gap is smaller."""
        return float(self.probability @ ndtr((value - self.mean) / self.scatter))

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.probability @ self.scatter**2))

    def quantile(self, share: float) -> float:
        """Where `below` reaches a share, by halving."""
        low, high = self.mean - 8 * self.scatter.max(), self.mean + 8 * self.scatter.max()
        for _ in range(32):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < share else (low, middle)
        return float(middle)

    @property
    def first_ahead(self) -> float:
        return self.below(0.0)

    @property
    def significance(self) -> float:
        """Two-sided: how often so large a gap would come out if there were none."""
        return 2 * min(self.first_ahead, 1 - self.first_ahead)


def gap(outcomes: Outcomes, spread: SeedSpread, first: int, second: int, size: int) -> Gap | None:
    """The gap at the size of this index; None where one of the two was not run.

    Images are paired: what both find hard cancels out of the scatter. One image's worth of scatter is added, so
    that two contenders that differ on no image are not said to be equal for certain.
    """
    runs = outcomes.runs[[first, second], size]
    if not runs.all():
        return None
    share = outcomes.shares[[first, second], size]  # [2, T]
    apart = share[0] - share[1]
    count = outcomes.images
    images = ((apart**2).sum() + 1) / (count + 1) - apart.mean() ** 2
    seeds = (spread.sigma[:, [first, second], size] ** 2 / runs).sum(axis=1)  # [P]
    return Gap(float(apart.mean()), np.sqrt(images / count + seeds), spread.probability)
