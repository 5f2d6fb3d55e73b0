"""The standard deviation between runs that differ only by their seed, estimated from all sizes and contenders together.

Run r of a cell (a contender at a size) has the test error e_r. Two runs differ by their seeds, and by chance in the
prediction of each image: E[var e_r] = σ² + w, with w the mean over images of p(1−p), divided by their number. Three
seeds say little about one cell's σ, so one rule is fitted to all cells, σ = κ·(e/0.1)^γ·0.1. κ and γ have a posterior
on a grid, over which all results are averaged. That is the small-sample correction: with one known γ and no w, the mean
of a cell would follow Student's t.
"""

from dataclasses import dataclass

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats, Outcomes

KAPPAS = np.geomspace(0.002, 0.8, 72)
GAMMAS = np.array([0.25, 0.5, 0.75, 1.0, 1.25])
NEGLIGIBLE = 1e-5  # relative to the most probable point; less probable points are dropped


@dataclass(frozen=True)
class SeedSpread:
    """The posterior of κ and γ; σ of one run for every point of it."""

    probability: Floats  # [P]
    sigma: Floats  # [P, C, S]

    def drawn(self, count: int, random: np.random.Generator) -> Floats:
        """Draws of σ, [D, C, S]."""
        return self.sigma[random.choice(len(self.probability), count, p=self.probability)]

    def typical(self) -> Floats:
        """The root of the mean σ², [C, S]."""
        return np.asarray(np.sqrt(np.einsum("p,pcs->cs", self.probability, self.sigma**2)))


def seed_spread(outcomes: Outcomes) -> SeedSpread:
    """Prior: κ uniform over all positive values, γ uniform over its grid."""
    between, within, error = cells(outcomes)
    sigma = (KAPPAS[:, None, None, None] * 0.1 * (error / 0.1) ** GAMMAS[:, None, None]).reshape(-1, *error.shape)
    several = outcomes.runs >= 2
    free = outcomes.runs[several] - 1
    variance = sigma[:, several] ** 2 + within[several]  # [P, cells]
    likelihood = -0.5 * (free * (np.log(variance) + between[several] / variance)).sum(axis=1)  # logarithmic
    likelihood += np.repeat(np.log(KAPPAS), len(GAMMAS))  # the grid is uniform in log κ
    probability = np.exp(likelihood - likelihood.max())
    likely = probability > NEGLIGIBLE
    return SeedSpread(probability[likely] / probability[likely].sum(), sigma[likely])


def cells(outcomes: Outcomes) -> tuple[Floats, Floats, Floats]:
    """Of each cell: variance between runs' errors, its part due to chance in single predictions, mean error."""
    count = outcomes.images
    runs = outcomes.runs
    error = outcomes.wrong.mean(axis=3)  # [C, S, R]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (error * outcomes.done).sum(axis=2) / runs
        between = (((error - mean[:, :, None]) * outcomes.done) ** 2).sum(axis=2) / (runs - 1)
        share = outcomes.shares
        within = (share * (1 - share)).mean(axis=2) * runs / (runs - 1) / count
    # Half a wrong image is added, so that the error of a cell lies between 0 and 1.
    return between, within, (mean * count + 0.5) / (count + 1)
