"""Two contenders at one size, compared image by image: the gap, its interval, the probability of being ahead."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from vitrail.training.study.statistics.outcomes import Floats
from vitrail.training.study.statistics.scatter import Scatter

LOW, HIGH = 0.05, 0.95  # all intervals are 90 % ones
CONFIDENCE = 0.95  # from which a contender is said to be ahead


@dataclass(frozen=True)
class Gap:
    """Error of the first minus that of the second: a normal distribution for every draw of the posterior."""

    means: Floats  # [P]
    scatter: Floats  # [P]

    @property
    def mean(self) -> float:
        return float(self.means.mean())

    def below(self, value: float) -> float:
        """The probability that the true gap is smaller."""
        return float(ndtr((value - self.means) / self.scatter).mean())

    @property
    def standard_error(self) -> float:
        return float(np.sqrt((self.scatter**2).mean() + self.means.var()))

    def quantile(self, share: float) -> float:
        """The inverse of `below`, by bisection."""
        low = float((self.means - 8 * self.scatter).min())
        high = float((self.means + 8 * self.scatter).max())
        for _ in range(32):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < share else (low, middle)
        return middle

    @property
    def first_ahead(self) -> float:
        return self.below(0.0)

    @property
    def significance(self) -> float:
        """Two-sided p-value."""
        return 2 * min(self.first_ahead, 1 - self.first_ahead)


def gap(scatter: Scatter, first: int, second: int, size: int) -> Gap | None:
    """The gap at the size of this index; None if one of the two has no runs.

    Images are paired: difficulty common to both cancels from the scatter. The scatter of one image is added, so that
    two contenders with equal predictions are not equal with certainty.
    """
    both, outcomes = [first, second], scatter.outcomes
    if not outcomes.runs[both, size].all():
        return None
    factors = scatter.factors[:, both, size]  # [P, 2]
    share = outcomes.shares[both, size]  # [2, T]
    count, wrong = outcomes.images, factors.mean(axis=0)[:, None] * share
    differences = wrong[0] - wrong[1]
    images = ((differences**2).sum() + 1) / (count + 1) - differences.mean() ** 2
    runs = ((factors * scatter.of_means[:, both, size]) ** 2).sum(axis=1)  # [P]
    means = factors @ (share.mean(axis=1) * [1, -1])
    return Gap(means, np.sqrt(images / count + runs))
