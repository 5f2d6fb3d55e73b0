"""How many labelled images a wanted accuracy takes, and what the next thousand are worth."""

from dataclasses import dataclass

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats

NEXT = 1000


@dataclass(frozen=True)
class Needed:
    """Labelled images for an accuracy; the smallest size measured stands for itself and all below it."""

    accuracy: float
    images: float | None  # None: not within reach
    low: float | None  # None: not even with luck
    high: float | None  # None: perhaps not within reach


@dataclass(frozen=True)
class NextImages:
    """What `images` more bring beyond the largest size: accuracy gained, with its interval."""

    images: int
    gain: float
    low: float
    high: float


def needed(accuracy: float, sizes: Floats, curve: Floats, low: Floats, high: Floats) -> Needed:
    """From an averaged error curve and its band, all [N], at sizes [N].

    No curve rises: where the band's edge falls below the error, that share of the draws has done so.
    """
    error = 1 - accuracy
    return Needed(accuracy, reached(sizes, curve, error), reached(sizes, low, error), reached(sizes, high, error))


def reached(sizes: Floats, curve: Floats, error: float) -> float | None:
    """The first size at which the curve is no higher than an error, on a line in log n between sizes."""
    good = np.flatnonzero(curve <= error)
    if len(good) == 0:
        return None
    first = good[0]
    if first == 0:
        return float(sizes[0])
    above, below = curve[first - 1], curve[first]
    return float(sizes[first - 1] * (sizes[first] / sizes[first - 1]) ** ((above - error) / (above - below)))
