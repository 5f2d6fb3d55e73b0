"""Two contenders compared: measured gaps, the gap along the grid, and the crossing."""

import numpy as np

from vitrail.training.study.statistics.crossing import Crossing, crossing
from vitrail.training.study.statistics.curve import ContenderFit, band
from vitrail.training.study.statistics.difference import HIGH, LOW, gap
from vitrail.training.study.statistics.findings import Pair, SizeGap
from vitrail.training.study.statistics.outcomes import Floats
from vitrail.training.study.statistics.scatter import Scatter

SURE = 0.985  # that one is ahead, where a curve is said to be clearly so: a verdict is to hold with shocks, too


def pair(scatter: Scatter, first: ContenderFit, second: ContenderFit, grid: Floats) -> Pair:
    names = scatter.outcomes.contenders[first.index], scatter.outcomes.contenders[second.index]
    measured = size_gaps(scatter, first.index, second.index)
    one, other = first.well_behaved(), second.well_behaved()
    if one is None or other is None:
        return Pair(*names, measured, (), (), (), (), Crossing("refused"))
    grid = min(first.grid(grid), second.grid(grid), key=len)
    drawn = one.draws(grid) - other.draws(grid)
    low, high = band(drawn)
    mean = one.measured(grid) - other.measured(grid)
    if distinct(measured):
        # Without a significant lead anywhere, the interval is widened to contain zero everywhere.
        first_leads, second_leads = beyond_chance(-mean, -drawn), beyond_chance(mean, drawn)
        lower, upper = np.quantile(drawn, [1 - SURE, SURE], axis=0)
        upper, lower = upper if first_leads else np.maximum(upper, 0), lower if second_leads else np.minimum(lower, 0)
        crossed = crossing(grid, mean, lower, upper)
    else:
        crossed = Crossing("undecided")
    return Pair(
        *names,
        measured,
        tuple(mean.tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
        tuple((drawn < 0).mean(axis=0).tolist()),
        crossed,
    )


def size_gaps(scatter: Scatter, first: int, second: int) -> tuple[SizeGap, ...]:
    """At every size where both have runs."""
    gaps = [(size, gap(scatter, first, second, index)) for index, size in enumerate(scatter.outcomes.sizes)]
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
        for size, one in gaps
        if one is not None
    )


def beyond_chance(lead: Floats, draws: Floats) -> bool:
    """Whether the maximum of a lead [N] exceeds the maximum of the scatter of its draws [D, N] in 19 of 20 draws.

    The maximum corrects for many sizes: with separate intervals, two equal curves would too often have a leader.
    """
    scatter = draws.std(axis=0)
    chance = ((draws - draws.mean(axis=0)) / scatter).max(axis=1)
    return bool((lead / scatter).max() > np.quantile(chance, HIGH))


def distinct(measured: tuple[SizeGap, ...]) -> bool:
    """Whether the two differ by a standard error at any size; else the result would depend on noise."""
    return any(abs(one.gap) >= one.standard_error for one in measured)
