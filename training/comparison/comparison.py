"""Runs compared: each with its result, each pair with its difference, and what follows from them in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from vitrail.errors import UsageError
from vitrail.training.comparison.outcomes import Outcomes, outcomes_of
from vitrail.training.comparison.paired import (
    LEVEL,
    Difference,
    Interval,
    compare_means,
    compare_right,
    holm,
    mean_interval,
    wilson_interval,
)
from vitrail.training.comparison.saved import read_all


@dataclass(frozen=True)
class Run:
    name: str
    result: Interval


@dataclass(frozen=True)
class Pair:
    """Two runs, by their index."""

    first: int
    second: int
    difference: Difference
    corrected: float  # p-value, for the number of pairs

    @property
    def is_clear(self) -> bool:
        return self.corrected < LEVEL


@dataclass(frozen=True)
class Comparison:
    measure: str
    is_binary: bool  # shares of images, so that differences are in points
    is_error: bool  # less is better
    images: int
    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]

    def better(self, pair: Pair) -> int:
        """The index of the run that is ahead in what was seen."""
        return pair.first if (pair.difference.interval.value > 0) != self.is_error else pair.second


def compare(places: Sequence[str]) -> Comparison:
    """Run folders, or paths of predictions.npz."""
    saved = read_all(places)
    outcomes = [outcomes_of(one) for one in saved]
    known = ~np.isnan(np.stack([one.values for one in outcomes])).any(axis=0)
    if known.sum() < 2:
        raise UsageError("a comparison needs at least two test images")
    outcomes = [replace(one, values=one.values[known]) for one in outcomes]
    like = outcomes[0]
    runs = tuple(Run(one.name, result_of(each)) for one, each in zip(saved, outcomes, strict=True))
    indices = list(combinations(range(len(runs)), 2))
    compare_two = compare_right if like.is_binary else compare_means
    differences = [compare_two(outcomes[i].values, outcomes[j].values) for i, j in indices]
    corrected = holm([one.p_value for one in differences])
    pairs = tuple(Pair(i, j, one, p) for (i, j), one, p in zip(indices, differences, corrected, strict=True))
    return Comparison(like.measure, like.is_binary, like.is_error, int(known.sum()), runs, pairs)


def result_of(outcomes: Outcomes) -> Interval:
    if outcomes.is_binary:
        return wilson_interval(int(outcomes.values.sum()), len(outcomes.values))
    return mean_interval(outcomes.values)
