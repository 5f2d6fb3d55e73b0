"""Early stopping size by size: a rule that the study does not use, measured here beside the one by seeds.

All seeds of a size come before the next size. A check before the largest size relies on fitted laws, so all of them
together spend a quarter of 1 − confidence, in equal parts, and the check at the largest size the rest.
"""

import numpy as np

from vitrail.training.study.statistics.curve import fit_contender
from vitrail.training.study.statistics.difference import gap
from vitrail.training.study.statistics.draws import measured_and_drawn_errors
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.scatter import scatter_of
from vitrail.training.study.statistics.stopping import MIN_SEEDS, StopDecision

MIN_SIZES = 4  # so that laws are weighted by a held-out size
MAX_EXTRAPOLATION = 4.0  # times the largest size so far
FORECAST_SHARE = 0.25  # of 1 − confidence


def decide_by_sizes(outcomes: Outcomes, confidence: float = 0.95, draws: int = 2000) -> StopDecision:
    """Check a study with finished runs at its smaller sizes; `outcomes` has all planned runs, see `done`."""
    sizes, made = len(outcomes.sizes), int(outcomes.runs.sum())
    runs = outcomes.done.size
    known = int((outcomes.runs >= MIN_SEEDS).all(axis=0).cumprod().sum())
    undecided = StopDecision(False, None, 0.5, 1.0, made, runs)
    if len(outcomes.contenders) < 2 or known < min(MIN_SIZES, sizes):
        return undecided
    if known == sizes:
        ahead, bound = measured_probabilities(outcomes), 1 - (1 - confidence) * (1 - FORECAST_SHARE)
    elif outcomes.sizes[-1] > MAX_EXTRAPOLATION * outcomes.sizes[known - 1]:
        return undecided
    else:
        errors = forecast_errors(first_sizes(outcomes, known), outcomes.sizes[-1], draws)
        if errors is None:
            return undecided
        ahead, bound = win_probabilities(errors), 1 - (1 - confidence) * FORECAST_SHARE / (sizes - MIN_SIZES)
    leader = int(ahead.min(axis=1).argmax())
    probability = float(ahead[leader].min())
    won = probability >= bound
    name = outcomes.contenders[leader] if won else None
    return StopDecision(won or known == sizes, name, probability, bound, made, runs)


def first_sizes(outcomes: Outcomes, count: int) -> Outcomes:
    wrong, done = outcomes.wrong[:, :count], outcomes.done[:, :count]
    return Outcomes(outcomes.contenders, outcomes.sizes[:count], outcomes.seeds, wrong, done)


def forecast_errors(outcomes: Outcomes, size: int, draws: int) -> Floats | None:
    """Draws of all contenders' errors at a larger size, [D, C]; None if a curve is ill-behaved."""
    scatter = scatter_of(outcomes)
    errors = measured_and_drawn_errors(scatter, draws, np.random.default_rng(0))
    curves = [fit_contender(scatter, errors, index).well_behaved() for index in range(len(outcomes.contenders))]
    forecasts = [curve.draws(np.array([size], float)) for curve in curves if curve is not None]
    return np.concatenate(forecasts, axis=1) if len(forecasts) == len(curves) else None


def win_probabilities(errors: Floats) -> Floats:
    """The probability that one contender has a lower error than another, [C, C], from draws [D, C]; diagonal 1."""
    ahead = (errors[:, :, None] < errors[:, None, :]).mean(axis=0)
    return np.asarray(np.where(np.eye(errors.shape[1], dtype=bool), 1.0, ahead))


def measured_probabilities(outcomes: Outcomes) -> Floats:
    """The same from the errors measured at the largest size."""
    scatter, count = scatter_of(outcomes), len(outcomes.contenders)
    ahead = np.ones((count, count))
    for one in range(count):
        for other in range(count):
            if one != other and (measured := gap(scatter, one, other, len(outcomes.sizes) - 1)):
                ahead[one, other] = measured.first_ahead
    return ahead
