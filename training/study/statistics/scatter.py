"""What moves the measured error of a cell beside its test images: seeds, shocks, and runs that collapse."""

from dataclasses import dataclass

import numpy as np

from vitrail.training.study.statistics.collapse import collapsed, drawn_factors
from vitrail.training.study.statistics.outcomes import Flags, Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import drawn_spread
from vitrail.training.study.statistics.shocks import TAUS, shocks_and_plateaus

DRAWS = 1000


@dataclass(frozen=True)
class Scatter:
    """The posterior, as P equally probable draws."""

    outcomes: Outcomes  # of the runs that did not collapse
    collapsed: Flags  # [C, S, R]
    seeds: Floats  # [P, C, S]: standard deviation of one run
    shocks: Floats  # [P]: of what all runs of a cell share, relative to its error
    factors: Floats  # [P, C, S]: the expected error over that of the runs that did not collapse
    plateaus: Floats  # [C]: the probability that a contender's error is flat from its second largest size on

    @property
    def of_means(self) -> Floats:
        """The standard deviation of the mean over the runs of a cell, [P, C, S]."""
        shocks = self.shocks[:, None, None] * self.outcomes.errors
        return np.asarray(np.sqrt(self.seeds**2 / np.maximum(self.outcomes.runs, 1) + shocks**2))

    @property
    def errors(self) -> Floats:
        """The expected errors, [C, S]."""
        return np.asarray(self.outcomes.errors * self.factors.mean(axis=0))

    @property
    def shock(self) -> float:
        """The root of the mean relative variance of a shock."""
        return float(np.sqrt((self.shocks**2).mean()))

    @property
    def typical_seeds(self) -> Floats:
        """The root of the mean variance of one run, [C, S]."""
        return np.asarray(np.sqrt((self.seeds**2).mean(axis=0)))


def scatter_of(outcomes: Outcomes, seed: int = 0, count: int = DRAWS) -> Scatter:
    random = np.random.default_rng(seed)
    flags = collapsed(outcomes)
    fine = outcomes.without(flags)
    seeds = drawn_spread(fine, count, random)
    probability, plateaus = shocks_and_plateaus(fine, np.sqrt((seeds**2).mean(axis=0)))
    shocks = random.choice(TAUS, count, p=probability)
    return Scatter(fine, flags, seeds, shocks, drawn_factors(outcomes, fine, count, random), plateaus)
