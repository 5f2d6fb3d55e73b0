"""The number of labelled images for a target accuracy, and the gain of a round number more."""

from dataclasses import dataclass

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats

NEXT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class ImagesNeeded:
    """Labelled images for an accuracy, at least the smallest size measured; None beyond the end of the grid."""

    accuracy: float
    images: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class NextImages:
    """The accuracy gained by this many images beyond the largest size, with its interval."""

    images: int
    gain: float
    low: float
    high: float


def next_count(largest: float) -> int:
    """A round number of further images, no more than there are."""
    return max(one for one in NEXT if one <= max(largest, 1))


def images_needed(accuracy: float, sizes: Floats, curve: Floats, low: Floats, high: Floats) -> ImagesNeeded:
    """From an averaged error curve and its band, all [N], at sizes [N].

    As no curve rises, the sizes at which the edges of the band reach the target bound the interval.
    """
    error = 1 - accuracy
    return ImagesNeeded(accuracy, reached(sizes, curve, error), reached(sizes, low, error), reached(sizes, high, error))


def reached(sizes: Floats, curve: Floats, error: float) -> float | None:
    """The first size at which the curve is no higher than an error, linear in log n between sizes."""
    below_target = np.flatnonzero(curve <= error)
    if len(below_target) == 0:
        return None
    first = below_target[0]
    if first == 0:
        return float(sizes[0])
    above, below = curve[first - 1], curve[first]
    return float(sizes[first - 1] * (sizes[first] / sizes[first - 1]) ** ((above - error) / (above - below)))
