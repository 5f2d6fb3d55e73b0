"""How a cost grows with the number of vectors: the slope of its logarithm on theirs."""

from collections.abc import Sequence
from math import log

import numpy as np


def slope(vectors: Sequence[int], costs: Sequence[float]) -> float:
    """By least squares: 1 where twice the vectors cost twice as much, 2 where they cost four times as much."""
    found = np.polyfit([log(count) for count in vectors], [log(cost) for cost in costs], 1)
    return float(found[0])


def slopes(vectors: Sequence[int], rounds: Sequence[Sequence[float]]) -> list[float]:
    """One slope a round; `rounds` has a row for each number of vectors."""
    return [slope(vectors, costs) for costs in zip(*rounds, strict=True)]
