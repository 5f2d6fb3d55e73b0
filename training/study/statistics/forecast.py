"""From the outcomes of a study to the numbers of its report: curves, gaps, crossings, images needed."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from vitrail.training.study.statistics.curve import ContenderFit, describe, fit_contender
from vitrail.training.study.statistics.draws import measured_and_drawn_errors
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.next_measurement import next_measurement
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.pair import pair
from vitrail.training.study.statistics.scatter import scatter_of

STEPS = 60  # of the grid


def forecast(
    outcomes: Outcomes,
    targets: tuple[float, ...] = (0.9, 0.95, 0.99),
    draws: int = 2000,
    seed: int = 0,
) -> Forecast:
    """All results; `targets` are accuracies. Deterministic for the same outcomes and seed."""
    scatter = scatter_of(outcomes, seed)
    errors = measured_and_drawn_errors(scatter, draws, np.random.default_rng(seed))
    fits = [fit_contender(scatter, errors, index) for index in range(len(outcomes.contenders))]
    grid = grid_of(outcomes, fits)
    return Forecast(
        outcomes.sizes,
        outcomes.images,
        scatter.shock,
        draws,
        tuple(grid.tolist()),
        tuple(describe(one, scatter, grid, targets) for one in fits),
        tuple(pair(scatter, one, other, grid) for one, other in combinations(fits, 2)),
        next_measurement(scatter),
    )


def grid_of(outcomes: Outcomes, fits: Iterable[ContenderFit]) -> Floats:
    """All sizes with steps in between, and the ends of all curves."""
    sizes = np.array(outcomes.sizes, float)
    ends = np.array([one.end for one in fits if one.well_behaved()])
    return np.union1d(np.geomspace(sizes[0], max([*ends, sizes[-1]]), STEPS), [*sizes, *ends])
