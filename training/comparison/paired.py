"""Two runs on the same images: the difference with its interval, a paired test, and images that would tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, ndtri, stdtr, stdtrit

CONFIDENCE = 0.9  # of intervals
LEVEL = 0.05  # two-sided, at which one run is said to be better
POWER = 0.8  # with which a comparison is to tell
Z_INTERVAL = float(ndtri((1 + CONFIDENCE) / 2))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The first's mean minus the second's, over the same images."""

    interval: Interval
    p_value: float
    images_needed: int | None  # to tell at this difference; None where there is none


def wilson_interval(hits: int, total: int) -> Interval:
    """Of a share."""
    share, spread = hits / total, Z_INTERVAL**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z_INTERVAL * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def mean_interval(values: Floats) -> Interval:
    """Student's, of a mean over images."""
    count = len(values)
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * float(values.std(ddof=1)) / sqrt(count)
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)


def compare_right(first: Floats, second: Floats) -> Difference:
    """Of images that are right or wrong, 1 or 0: Tango's score interval, and McNemar's exact test."""
    won, lost = int((first > second).sum()), int((first < second).sum())
    gap, discordant = (won - lost) / len(first), (won + lost) / len(first)
    return Difference(
        score_interval(won, lost, len(first)), mcnemar(won, lost), images_needed(abs(gap), discordant - gap**2)
    )


def compare_means(first: Floats, second: Floats) -> Difference:
    """Of other numbers: Student's interval and test of their differences."""
    differences = first - second
    interval = mean_interval(differences)
    error = float(differences.std(ddof=1)) / sqrt(len(differences))
    p_value = (
        2 * float(stdtr(len(differences) - 1, -abs(interval.value) / error)) if error else 1.0 * (not interval.value)
    )
    return Difference(interval, p_value, images_needed(abs(interval.value), float(differences.var(ddof=1))))


def mcnemar(won: int, lost: int) -> float:
    """Exact and two-sided: among images that only one run has right, either is as likely under equal runs."""
    return min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))


def score_interval(won: int, lost: int, total: int) -> Interval:
    """Tango's: every difference that a score test does not reject; it holds for few discordant images too."""

    def score(difference: float) -> float:
        """How many deviations the difference seen lies above this one."""
        a = 2 * total
        b = -won - lost + (2 * total - won + lost) * difference
        c = -lost * difference * (1 - difference)
        only_second = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # the likeliest share, given the difference
        variance = total * (2 * only_second + difference * (1 - difference))
        return (won - lost - total * difference) / sqrt(max(variance, 1e-12))

    seen, edge = (won - lost) / total, 1e-9
    low = -1.0 if seen == -1 else float(brentq(lambda d: score(d) - Z_INTERVAL, -1 + edge, seen))
    high = 1.0 if seen == 1 else float(brentq(lambda d: score(d) + Z_INTERVAL, seen, 1 - edge))
    return Interval(seen, low, high)


def images_needed(gap: float, variance: float) -> int | None:
    """Test images at which a gap like this one is found with the power, if differences scatter as here."""
    if gap == 0:
        return None
    return max(1, ceil((float(ndtri(1 - LEVEL / 2)) + float(ndtri(POWER))) ** 2 * variance / gap**2))


def holm(p_values: Sequence[float]) -> list[float]:
    """The same corrected for their number, so that no difference is wrongly found in 19 of 20 comparisons."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        corrected[index] = largest
    return corrected
