"""Intervals by drawing images anew: how far a number would move with other images of the same kind."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Estimate

DRAWS = 1000
AT_ONCE = 50  # draws: of many images, all together would fill the memory

Sums = NDArray[np.float64]


class Bootstrap:
    """Numbers that follow from sums over images; `each` [N, S] holds what every image adds to the S sums.

    How often an image is drawn is all that a draw decides, so draws are rows of counts times `each`.
    """

    def __init__(self, each: Sums) -> None:
        random, shares = np.random.default_rng(0), np.full(len(each), 1 / len(each))
        blocks = (random.multinomial(len(each), shares, AT_ONCE) @ each for _ in range(0, DRAWS, AT_ONCE))
        self.drawn = np.concatenate(list(blocks))  # [DRAWS, S]
        self.seen = each.sum(axis=0)  # [S]

    def estimate(self, name: str, number: Callable[[Sums], Sums]) -> Estimate:
        """What `number` makes of the sums, [..., S] → [...]."""
        low, high = np.quantile(number(self.drawn), [0.025, 0.975])
        return Estimate(name, float(number(self.seen)), float(low), float(high))
