"""95 % intervals: Wilson's for a share, the bootstrap's for any other metric."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
DRAWS = 1000
AT_ONCE = 50  # draws: of many images, all together would fill the memory

Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """`hits` of `total`, with the 95 % interval around their ratio."""

    hits: int
    total: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def wilson(hits: int, total: int) -> Share:
    """The share with Wilson's 95 % interval, which stays inside 0…1 and holds for few images too."""
    if total == 0:
        return Share(0, 0, 0.0, 0.0, 1.0)
    share = hits / total
    spread = Z_95**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == total else min(1.0, centre + half)
    return Share(hits, total, share, low, high)


class Bootstrap:
    """Resamples images for metrics that follow from sums over images; `each` [N, S] is each image's part of S sums.

    A resample is a count for each image, so its sums are a row of counts times `each`.
    """

    def __init__(self, each: Sums) -> None:
        random, shares = np.random.default_rng(0), np.full(len(each), 1 / len(each))
        blocks = (random.multinomial(len(each), shares, AT_ONCE) @ each for _ in range(0, DRAWS, AT_ONCE))
        self.drawn = np.concatenate(list(blocks))  # [DRAWS, S]
        self.seen = each.sum(axis=0)  # [S]

    def estimate(self, name: str, metric: Callable[[Sums], Sums]) -> Estimate:
        """The metric of the sums, [..., S] → [...]."""
        low, high = np.quantile(metric(self.drawn), [0.025, 0.975])
        return Estimate(name, float(metric(self.seen)), float(low), float(high))
