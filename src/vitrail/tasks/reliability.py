"""Calibration: how often decisions of a confidence are correct, in bins, and the expected error of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Decisions whose confidence lies between `low` and `high`; both means are 0 where there are none."""

    low: float
    high: float
    decisions: int
    confidence: float  # their mean
    accuracy: float


def reliability(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Decisions by their confidence, [N], in bins of equal width."""
    confidence = confidence.astype(float)
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bin_of, minlength=BINS)
    sums = (np.bincount(bin_of, each.astype(float), BINS) / np.maximum(counts, 1) for each in (confidence, correct))
    rows = zip(counts.tolist(), *(each.tolist() for each in sums), strict=True)
    return tuple(Bin(i / BINS, (i + 1) / BINS, *row) for i, row in enumerate(rows))


def expected_error(bins: tuple[Bin, ...]) -> float:
    """ECE: the mean gap between confidence and the share of correct decisions."""
    total = sum(one.decisions for one in bins)
    return sum(one.decisions * abs(one.confidence - one.accuracy) for one in bins) / total
