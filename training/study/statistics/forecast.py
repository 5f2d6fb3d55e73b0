"""From the outcomes of a study to the numbers of its report: curves, gaps, crossings, images needed."""

from itertools import combinations

import numpy as np

from vitrail.training.study.statistics.curve import describe, fit_contender
from vitrail.training.study.statistics.draws import measured_and_drawn_errors
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.pair import pair
from vitrail.training.study.statistics.seed_spread import seed_spread

STEPS = 60  # of the grid


def forecast(
    outcomes: Outcomes,
    targets: tuple[float, ...] = (0.9, 0.95, 0.99),
    reach: float = 4.0,
    draws: int = 2000,
    seed: int = 0,
) -> Forecast:
    """All results; `targets` are accuracies. Deterministic for the same outcomes and seed."""
    spread = seed_spread(outcomes)
    errors = measured_and_drawn_errors(outcomes, spread, draws, np.random.default_rng(seed))
    grid = grid_of(outcomes, reach)
    fits = [fit_contender(outcomes, errors, index) for index in range(len(outcomes.contenders))]
    sigma = spread.typical()
    return Forecast(
        outcomes.sizes,
        outcomes.images,
        reach,
        draws,
        tuple(grid.tolist()),
        tuple(describe(one, outcomes, sigma, grid, targets) for one in fits),
        tuple(pair(outcomes, spread, one, other, grid) for one, other in combinations(fits, 2)),
    )


def grid_of(outcomes: Outcomes, reach: float) -> Floats:
    """All sizes with steps in between, up to `reach` times the smallest of the contenders' largest sizes."""
    sizes = np.array(outcomes.sizes, float)
    ends = [sizes[runs > 0].max() for runs in outcomes.runs if runs.any()]
    return np.union1d(np.geomspace(sizes[0], max(reach * min(ends, default=0.0), sizes[-1]), STEPS), sizes)
