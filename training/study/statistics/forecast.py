"""From the outcomes of a study to everything that its report says: curves, gaps, crossings, needs."""

from itertools import combinations

import numpy as np

from vitrail.training.study.statistics.curve import described, line
from vitrail.training.study.statistics.draws import draw_errors, measured_errors
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.pair import pair
from vitrail.training.study.statistics.seed_spread import seed_spread

STEPS = 60  # of the grid, from the smallest size to the end of reach


def forecast(
    outcomes: Outcomes,
    targets: tuple[float, ...] = (0.9, 0.95, 0.99),
    reach: float = 4.0,
    draws: int = 2000,
    seed: int = 0,
) -> Forecast:
    """Everything at once; `targets` are accuracies. The same outcomes and seed give the same answer."""
    spread = seed_spread(outcomes)
    drawn = draw_errors(outcomes, spread, draws, np.random.default_rng(seed))
    errors = np.concatenate([measured_errors(outcomes)[None], drawn])
    grid = grid_of(outcomes, reach)
    lines = [line(outcomes, errors, index) for index in range(len(outcomes.contenders))]
    sigma = spread.typical()
    return Forecast(
        outcomes.sizes,
        outcomes.images,
        reach,
        draws,
        tuple(grid.tolist()),
        tuple(described(one, outcomes, sigma, grid, targets) for one in lines),
        tuple(pair(outcomes, spread, one, other, grid) for one, other in combinations(lines, 2)),
    )


def grid_of(outcomes: Outcomes, reach: float) -> Floats:
    """All sizes, and steps between and beyond, as far as each contender's largest size lets look, if it has runs."""
    sizes = np.array(outcomes.sizes, float)
    ends = [sizes[runs > 0].max() for runs in outcomes.runs if runs.any()]
    return np.union1d(np.geomspace(sizes[0], max(reach * min(ends, default=0.0), sizes[-1]), STEPS), sizes)
