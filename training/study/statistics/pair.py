"""Two contenders compared: measured gaps, who is ahead along the grid, and where they cross."""

import numpy as np

from vitrail.training.study.statistics.crossing import Crossing, crossing
from vitrail.training.study.statistics.curve import Line, band
from vitrail.training.study.statistics.difference import HIGH, LOW, gap
from vitrail.training.study.statistics.findings import Pair, SizeGap
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import SeedSpread


def pair(outcomes: Outcomes, spread: SeedSpread, first: Line, second: Line, grid: Floats) -> Pair:
    names = outcomes.contenders[first.index], outcomes.contenders[second.index]
    measured = size_gaps(outcomes, spread, first.index, second.index)
    one, other = first.forecastable(), second.forecastable()
    if one is None or other is None:
        return Pair(*names, measured, (), (), (), (), Crossing("refused"))
    apart = one.draws(grid) - other.draws(grid)
    low, high = band(apart)
    mean = one.measured(grid) - other.measured(grid)
    if distinct(measured):
        # A lead that is not beyond chance anywhere is none, so that interval is taken to hold zero everywhere.
        first_leads, second_leads = beyond_chance(-mean, -apart), beyond_chance(mean, apart)
        upper, lower = high if first_leads else np.maximum(high, 0), low if second_leads else np.minimum(low, 0)
        found = crossing(grid, mean, lower, upper)
    else:
        found = Crossing("undecided")
    return Pair(
        *names,
        measured,
        tuple(mean.tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
        tuple((apart < 0).mean(axis=0).tolist()),
        found,
    )


def size_gaps(outcomes: Outcomes, spread: SeedSpread, first: int, second: int) -> tuple[SizeGap, ...]:
    """At every size where both were run."""
    found = [(size, gap(outcomes, spread, first, second, index)) for index, size in enumerate(outcomes.sizes)]
    return tuple(
        SizeGap(
            size,
            one.mean,
            one.quantile(LOW),
            one.quantile(HIGH),
            one.standard_error,
            one.first_ahead,
            one.significance,
        )
        for size, one in found
        if one is not None
    )


def beyond_chance(lead: Floats, draws: Floats) -> bool:
    """Whether a lead [N] is anywhere larger than the largest of chance leads, of draws [D, N], in 19 of 20 draws.

    The interval of each size by itself would name a leader of two equal curves too often: there are many sizes.
    """
    scatter = draws.std(axis=0)
    chance = ((draws - draws.mean(axis=0)) / scatter).max(axis=1)
    return bool((lead / scatter).max() > np.quantile(chance, HIGH))


def distinct(measured: tuple[SizeGap, ...]) -> bool:
    """Whether the two lie a standard error apart anywhere; else curves through noise would decide."""
    return any(abs(one.gap) >= one.standard_error for one in measured)
