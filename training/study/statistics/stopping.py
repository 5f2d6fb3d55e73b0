"""Early stopping of a study that grows seed by seed, with an error rate controlled over all checks.

The question is which contender is ahead at the largest size. A full study of R seeds names one if it is ahead of each
other one with the probability `confidence` (0.95, say). Checking more often at the same bound would err more often.

Seed by seed, group-sequential: the checks up to one may together spend (1 − confidence)·(information so far / of the
full study)². More seeds reduce the scatter between seeds, not that between test images: where images dominate, the
first check has almost all information and may spend almost all. A study also stops where naming a leader has become
unlikely.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from vitrail.training.study.statistics.difference import Gap, gap
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.scatter import Scatter, scatter_of
from vitrail.training.study.statistics.seed_spread import cells

MIN_SEEDS = 2  # below, the scatter between seeds is unknown
FUTILITY = 0.05  # probability of naming a leader in the end, below which a study stops
PATHS = 200_000  # random walks from which bounds are computed


@dataclass(frozen=True)
class StopDecision:
    """The result of one check."""

    stop: bool
    leader: str | None  # ahead of each other contender at the largest size; None if there is none
    probability: float  # that the contender with the lowest error is ahead of its closest rival
    required: float  # probability
    runs_made: int
    runs_planned: int

    @property
    def saved(self) -> float:
        """The share of the planned runs that is left out."""
        return 1 - self.runs_made / self.runs_planned if self.stop else 0.0


def decide_by_seeds(outcomes: Outcomes, planned: int, confidence: float = 0.95) -> StopDecision:
    """Check a study of `planned` seeds after the seeds that all contenders have finished at the largest size.

    The first check is made after two seeds, then one after each further seed.
    """
    seeds = int(outcomes.runs[:, -1].min())
    made, runs = int(outcomes.runs.sum()), planned * outcomes.runs.size
    if seeds < MIN_SEEDS or len(outcomes.contenders) < 2:
        return StopDecision(False, None, 0.5, 1.0, made, runs)
    scatter = scatter_of(outcomes)
    leader = int(np.nanargmin(scatter.errors[:, -1]))
    others = [other for other in range(len(outcomes.contenders)) if other != leader]
    closest = min((matchup(scatter, leader, other) for other in others), key=lambda one: one.now.first_ahead)
    bound = closest.bound(seeds, planned, confidence)
    probability = closest.now.first_ahead
    won = probability >= bound
    futile = closest.probability_of_a_leader(seeds, planned, confidence) < FUTILITY
    name = outcomes.contenders[leader] if won else None
    return StopDecision(won or futile or seeds >= planned, name, probability, bound, made, runs)


@dataclass(frozen=True)
class Matchup:
    """The leader against one other contender, at the largest size, and the sources of their gap's variance."""

    now: Gap
    seeds: Floats  # [P]: of one seed
    chance: float  # of one seed: chance in the predictions of single images
    shocks: Floats  # [P]: of what all runs of a cell share

    def variance(self, seeds: int, later: int, images: float = 1.0) -> Floats:
        """The variance of the gap, [P], with `later` seeds instead of `seeds`, and `images` times the test images."""
        tested = self.now.scatter**2 - self.seeds / seeds - self.shocks - self.chance * (1 / seeds - 1 / later)
        return np.asarray(np.maximum(self.seeds / later + self.shocks + tested / images, 1e-12))

    def bound(self, seeds: int, planned: int, confidence: float) -> float:
        """The probability of being ahead that is required at this check."""
        checks = range(MIN_SEEDS, planned + 1)
        last = self.variance(seeds, planned).mean()
        information = [float(last / self.variance(seeds, count).mean()) for count in checks]
        return bounds(tuple(round(50 * one) / 50 for one in information), 1 - confidence)[seeds - MIN_SEEDS]

    def probability_of_a_leader(self, seeds: int, planned: int, confidence: float) -> float:
        """The probability that the full study names either of the two."""
        return self.probability_with(self.variance(seeds, planned), confidence)

    def probability_with(self, last: Floats, confidence: float) -> float:
        """The probability of a leader once the gap has this variance [P]."""
        step = np.sqrt(np.maximum(self.now.scatter**2 - last, 1e-15))
        edge = ndtri(confidence) * np.sqrt(last)
        outside = ndtr((-edge - self.now.means) / step) + ndtr((self.now.means - edge) / step)
        return float(outside.mean())


def matchup(scatter: Scatter, first: int, second: int) -> Matchup:
    """Each seed adds its own scatter, and the chance in the predictions of single images."""
    both, outcomes = [first, second], scatter.outcomes
    now = gap(scatter, first, second, len(outcomes.sizes) - 1)
    assert now is not None  # both have runs at the largest size
    shocks = scatter.factors[:, both, -1] * scatter.shocks[:, None] * outcomes.errors[both, -1]
    chance = float(np.nan_to_num(cells(outcomes)[1][both, -1]).sum())
    return Matchup(now, (scatter.seeds[:, both, -1] ** 2).sum(axis=1), chance, (shocks**2).sum(axis=1))


@lru_cache(maxsize=4096)
def bounds(information: tuple[float, ...], error: float) -> tuple[float, ...]:
    """The probability of being ahead required at each check, so that all checks together have this error rate.

    Without a difference the standardised gap is a Brownian motion over its information.
    """
    steps = np.diff(np.array((0.0, *information)))
    noise = np.random.default_rng(0).standard_normal((PATHS, len(steps)))
    walk = np.cumsum(np.sqrt(np.maximum(steps, 0)) * noise, axis=1) / np.sqrt(np.array(information))
    due = error * np.array(information) ** 2
    inside = np.ones(PATHS, bool)
    required = []
    for index in range(len(information)):
        spend = due[index] - (PATHS - inside.sum()) / PATHS
        count = round(spend * PATHS)
        values = np.sort(walk[inside, index])
        edge = float(values[-count]) if count > 0 else np.inf
        inside &= walk[:, index] < edge
        required.append(float(ndtr(edge)))
    return tuple(required)
