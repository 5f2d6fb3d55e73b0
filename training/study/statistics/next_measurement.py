"""The next best measurement: what would settle which of the two best contenders at the largest size is better.

The gap of the two has a posterior, and a variance from three sources. More seeds average their own scatter and the
chance in single predictions; more test images that of images; neither reduces shocks, which all runs of a size share.
What is advised is the least that names a leader if the gap stays as it is. It may move, so the probability that a
leader is named is part of the advice. As a gap is more often found too large than too small, that probability has a
normal prior of the gap, as wide as the gaps of the two at all sizes, relative to their errors.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vitrail.training.study.statistics.difference import CONFIDENCE, Gap
from vitrail.training.study.statistics.outcomes import Floats
from vitrail.training.study.statistics.scatter import Scatter
from vitrail.training.study.statistics.stopping import MIN_SEEDS, Matchup, matchup

MOST_SEEDS = 20  # further ones
MOST_IMAGES = 20.0  # times the test images
STEPS = 60  # up to that

Kind = Literal["seeds", "test images", "both", "shocks", "close"]


@dataclass(frozen=True)
class NextMeasurement:
    """What would settle the lead of two contenders: further seeds, test images, both; or why none would."""

    kind: Kind
    first: str  # with the lower error so far
    second: str
    images: int  # the largest size
    seeds: int  # further ones
    test_images: int  # in all
    probability: float | None  # that a leader is named with these; None if they do not settle it


def next_measurement(scatter: Scatter) -> NextMeasurement | None:
    """None where a leader is known, and where there are too few contenders or seeds to tell."""
    outcomes = scatter.outcomes
    enough = np.flatnonzero(outcomes.runs[:, -1] >= MIN_SEEDS)
    if len(enough) < 2:
        return None
    first, second = enough[np.argsort(scatter.errors[enough, -1], kind="stable")[:2]]
    match = matchup(scatter, int(first), int(second))
    if match.now.first_ahead >= CONFIDENCE:
        return None
    seeds = int(outcomes.runs[[first, second], -1].min())
    kind, more, times = advised(match, seeds)
    later, usual = match.variance(seeds, seeds + more, times), usual_gap(scatter.errors, first, second)
    return NextMeasurement(
        kind,
        outcomes.contenders[first],
        outcomes.contenders[second],
        outcomes.sizes[-1],
        more,
        round(times * outcomes.images),
        None if kind in ("shocks", "close") else probability(match, later, usual),
    )


def advised(match: Matchup, seeds: int) -> tuple[Kind, int, float]:
    """The kind, with further seeds and the factor of test images: seeds alone, images alone, both in proportion.

    With the most of both where these are not enough, but would be without shocks, or the two are too close.
    """
    further = range(1, MOST_SEEDS + 1)
    for more in further:
        if settles(match, match.variance(seeds, seeds + more)):
            return "seeds", more, 1
    for times in np.geomspace(1, MOST_IMAGES, STEPS)[1:]:
        if settles(match, match.variance(seeds, seeds, float(times))):
            return "test images", 0, float(times)
    for more in further:
        if settles(match, match.variance(seeds, seeds + more, (seeds + more) / seeds)):
            return "both", more, (seeds + more) / seeds
    without_shocks = np.maximum(match.variance(seeds, seeds + MOST_SEEDS, MOST_IMAGES) - match.shocks, 1e-12)
    return "shocks" if settles(match, without_shocks) else "close", MOST_SEEDS, MOST_IMAGES


def settles(match: Matchup, later: Floats) -> bool:
    """Whether a gap of this variance [P] has a leader if its mean stays as it is."""
    return Gap(match.now.means, np.sqrt(later)).first_ahead >= CONFIDENCE


def probability(match: Matchup, later: Floats, usual: float) -> float:
    """That a leader is named once the gap has this variance [P], with the prior standard deviation `usual`."""
    now = match.now.scatter**2
    kept = (usual**2 + later) / (usual**2 + now)  # of the mean, which the prior draws to zero
    expected = Gap(kept * match.now.means, np.sqrt(later + kept * (now - later)))
    return replace(match, now=expected).probability_with(later, CONFIDENCE)


def usual_gap(errors: Floats, first: int, second: int) -> float:
    """The root mean square of the gaps at all sizes [C, S], relative to the errors, at the largest."""
    one, other = errors[first], errors[second]
    relative = (one - other) / (one + other)
    return float(np.sqrt(np.nanmean(relative**2)) * (one[-1] + other[-1]))
