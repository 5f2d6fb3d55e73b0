"""When a study that grows size by size may stop: whether its curves already tell who will be ahead at the largest size.

All seeds of a size are run before the next size. A look ahead rests on laws, not on runs, so it may spend little: all
looks ahead together a quarter of 1 − sure, in equal parts. The rest is kept for the end, where the largest size is run.
"""

import numpy as np

from vitrail.training.study.statistics.curve import line
from vitrail.training.study.statistics.difference import gap
from vitrail.training.study.statistics.draws import draw_errors, measured_errors
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import seed_spread
from vitrail.training.study.statistics.stop_seeds import FIRST, Look

FEWEST = 4  # sizes, so that the laws have been weighed by one that was hidden
FAR = 4.0  # how many times the largest size so far may be looked ahead
FOR_FORESIGHT = 0.25  # of 1 − sure


def look_ahead(outcomes: Outcomes, sure: float = 0.95, draws: int = 2000) -> Look:
    """Look at a study of which the smaller sizes are run; `outcomes` has all that are planned, see `done`."""
    sizes, made = len(outcomes.sizes), int(outcomes.runs.sum())
    runs = outcomes.done.size
    known = int((outcomes.runs >= FIRST).all(axis=0).cumprod().sum())
    nothing = Look(False, None, 0.5, 1.0, made, runs)
    if len(outcomes.contenders) < 2 or known < min(FEWEST, sizes):
        return nothing
    if known == sizes:
        ahead, bound = at_the_end(outcomes), 1 - (1 - sure) * (1 - FOR_FORESIGHT)
    elif outcomes.sizes[-1] > FAR * outcomes.sizes[known - 1]:
        return nothing
    else:
        foretold = errors_ahead(outcomes.first_sizes(known), outcomes.sizes[-1], draws)
        if foretold is None:
            return nothing
        ahead, bound = duels(foretold), 1 - (1 - sure) * FOR_FORESIGHT / (sizes - FEWEST)
    leader = int(ahead.min(axis=1).argmax())
    probability = float(ahead[leader].min())
    won = probability >= bound
    return Look(won or known == sizes, outcomes.contenders[leader] if won else None, probability, bound, made, runs)


def errors_ahead(outcomes: Outcomes, size: int, draws: int) -> Floats | None:
    """Draws of all contenders' errors at a size beyond, [D, C]; None where a curve is ill-behaved."""
    drawn = draw_errors(outcomes, seed_spread(outcomes), draws, np.random.default_rng(0))
    errors = np.concatenate([measured_errors(outcomes)[None], drawn])
    curves = [line(outcomes, errors, index).forecastable() for index in range(len(outcomes.contenders))]
    told = [curve.draws(np.array([size], float)) for curve in curves if curve is not None]
    return np.concatenate(told, axis=1) if len(told) == len(curves) else None


def duels(errors: Floats) -> Floats:
    """How probable it is that one contender errs less than another, [C, C], from draws [D, C]; 1 against itself."""
    ahead = (errors[:, :, None] < errors[:, None, :]).mean(axis=0)
    return np.asarray(np.where(np.eye(errors.shape[1], dtype=bool), 1.0, ahead))


def at_the_end(outcomes: Outcomes) -> Floats:
    """The same from what was measured at the largest size."""
    spread, count = seed_spread(outcomes), len(outcomes.contenders)
    ahead = np.ones((count, count))
    for one in range(count):
        for other in range(count):
            if one != other and (found := gap(outcomes, spread, one, other, len(outcomes.sizes) - 1)):
                ahead[one, other] = found.first_ahead
    return ahead
