"""Two contenders at one size, compared image by image: the gap, its interval, the probability of being ahead."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import SeedSpread

LOW, HIGH = 0.05, 0.95  # all intervals are 90 % ones


@dataclass(frozen=True)
class Gap:
    """Error of the first minus that of the second: a mean, and a normal scatter for every point of a posterior."""

    mean: float
    scatter: Floats  # [P]
    probability: Floats  # [P]

    def below(self, value: float) -> float:
        """The probability that the true gap is smaller."""
        return float(self.probability @ ndtr((value - self.mean) / self.scatter))

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.probability @ self.scatter**2))

    def quantile(self, share: float) -> float:
        """The inverse of `below`, by bisection."""
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
        """Two-sided p-value."""
        return 2 * min(self.first_ahead, 1 - self.first_ahead)


def gap(outcomes: Outcomes, spread: SeedSpread, first: int, second: int, size: int) -> Gap | None:
    """The gap at the size of this index; None if one of the two has no runs.

    Images are paired: difficulty common to both cancels from the scatter. The scatter of one image is added, so that
    two contenders with equal predictions are not equal with certainty.
    """
    runs = outcomes.runs[[first, second], size]
    if not runs.all():
        return None
    share = outcomes.shares[[first, second], size]  # [2, T]
    differences = share[0] - share[1]
    count = outcomes.images
    images = ((differences**2).sum() + 1) / (count + 1) - differences.mean() ** 2
    seeds = (spread.sigma[:, [first, second], size] ** 2 / runs).sum(axis=1)  # [P]
    return Gap(float(differences.mean()), np.sqrt(images / count + seeds), spread.probability)
