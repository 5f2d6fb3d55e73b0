"""When a study that grows seed by seed may stop: a look after each block of runs, with the looks paid for.

The question is who is ahead at the largest size. A full study of R seeds answers it when a contender is truly ahead of
each other one with the probability `sure` (0.95, say), else with 'undecided'. Looking more often at the same bound
would err more often, so each look may only spend what is due of 1 − sure: (information so far / of the full study)².
More seeds lessen the scatter that comes from seeds, not that from test images: where images weigh most, the first
look knows almost as much as the last and may spend almost all. A study also stops where the rest is unlikely to name
anybody.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from vitrail.training.study.statistics.difference import Gap, gap
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import SeedSpread, cells, seed_spread

FIRST = 2  # seeds: with one, nothing is known of how far seeds lie apart
FUTILE = 0.05  # of naming anybody in the end: below it, going on is not worth its price
PATHS = 200_000  # random walks from which bounds are read


@dataclass(frozen=True)
class Look:
    """What one look says."""

    stop: bool
    leader: str | None  # surely ahead of each other contender at the largest size; None where nobody is
    probability: float  # that the one with the fewest mistakes is ahead of the one nearest to it
    needed: float  # what that probability had to reach at this look
    made: int  # runs
    planned: int

    @property
    def saved(self) -> float:
        """The share of the planned runs that need not be made."""
        return 1 - self.made / self.planned if self.stop else 0.0


def look(outcomes: Outcomes, planned: int, sure: float = 0.95) -> Look:
    """Look at a study of `planned` seeds after so many as all contenders have at the largest size.

    The first look is made after two seeds, then one after each further seed.
    """
    seeds = int(outcomes.runs[:, -1].min())
    made, runs = int(outcomes.runs.sum()), planned * outcomes.runs.size
    if seeds < FIRST or len(outcomes.contenders) < 2:
        return Look(False, None, 0.5, 1.0, made, runs)
    spread = seed_spread(outcomes)
    leader = int(np.nanargmin(outcomes.shares[:, -1].mean(axis=1)))
    duels = [duel(outcomes, spread, leader, other) for other in range(len(outcomes.contenders)) if other != leader]
    hardest = min(duels, key=lambda one: one.now.first_ahead)
    bound = hardest.bound(seeds, planned, sure)
    probability = hardest.now.first_ahead
    won = probability >= bound
    hopeless = hardest.chance_of_a_leader(seeds, planned, sure) < FUTILE
    name = outcomes.contenders[leader] if won else None
    return Look(won or hopeless or seeds >= planned, name, probability, bound, made, runs)


@dataclass(frozen=True)
class Duel:
    """The leader against one other, at the largest size."""

    now: Gap
    between: Floats  # [P]: variance of the gap of one seed that other seeds would average away

    def variance(self, seeds: int, later: int) -> Floats:
        """The variance of the gap, [P], once there are `later` seeds instead of `seeds`."""
        return np.maximum(self.now.scatter**2 - self.between * (1 / seeds - 1 / later), 1e-12)

    def bound(self, seeds: int, planned: int, sure: float) -> float:
        """What the probability of being ahead must reach at this look."""
        looks = range(FIRST, planned + 1)
        weigh = self.now.probability
        last = weigh @ self.variance(seeds, planned)
        information = [float(last / (weigh @ self.variance(seeds, count))) for count in looks]
        return bounds(tuple(round(50 * one) / 50 for one in information), 1 - sure)[seeds - FIRST]

    def chance_of_a_leader(self, seeds: int, planned: int, sure: float) -> float:
        """How probable it is that the full study will name either of the two."""
        last = self.variance(seeds, planned)
        step = np.sqrt(np.maximum(self.now.scatter**2 - last, 1e-15))
        edge = ndtri(sure) * np.sqrt(last)
        outside = ndtr((-edge - self.now.mean) / step) + ndtr((self.now.mean - edge) / step)
        return float(self.now.probability @ outside)


def duel(outcomes: Outcomes, spread: SeedSpread, first: int, second: int) -> Duel:
    """Each seed brings its own scatter, and the chance in how single images are answered."""
    now = gap(outcomes, spread, first, second, len(outcomes.sizes) - 1)
    assert now is not None  # both have runs at the largest size
    within = cells(outcomes)[1][[first, second], -1].sum()
    return Duel(now, (spread.sigma[:, [first, second], -1] ** 2).sum(axis=1) + within)


@lru_cache(maxsize=4096)
def bounds(information: tuple[float, ...], error: float) -> tuple[float, ...]:
    """At each look the probability of being ahead that may be believed, so that all looks together err so often.

    Under no difference the standardised gap wanders as Brownian motion over its own information.
    """
    steps = np.diff(np.array((0.0, *information)))
    noise = np.random.default_rng(0).standard_normal((PATHS, len(steps)))
    walk = np.cumsum(np.sqrt(np.maximum(steps, 0)) * noise, axis=1) / np.sqrt(np.array(information))
    due = error * np.array(information) ** 2
    going = np.ones(PATHS, bool)
    found = []
    for index in range(len(information)):
        spend = due[index] - (PATHS - going.sum()) / PATHS
        count = round(spend * PATHS)
        values = np.sort(walk[going, index])
        edge = float(values[-count]) if count > 0 else np.inf
        going &= walk[:, index] < edge
        found.append(float(ndtr(edge)))
    return tuple(found)
