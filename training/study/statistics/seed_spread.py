"""The standard deviation between runs that differ only by their seed, estimated from all sizes of a contender.

Run r of a cell (a contender at a size) has the test error e_r. Two runs differ by their seeds, and by chance in the
prediction of each image: E[var e_r] = σ² + w, with w the mean over images of p(1−p), divided by their number. Three
seeds say little about one cell's σ, so one rule is fitted to all cells of a contender, σ = κ·(e/0.1)^γ·0.1. The κ of
contenders are pooled in part: they scatter by `POOLING` in logarithm around one that the study has in common, so that a
contender whose runs scatter more gets wider intervals, and one with few runs those of the others. Draws from the
posterior, on a grid, are the small-sample correction: with one known γ and no w, the mean of a cell would follow
Student's t.
"""

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.outcomes import Floats, Outcomes

KAPPAS = np.geomspace(0.002, 0.8, 72)
GAMMAS = np.array([0.25, 0.5, 0.75, 1.0, 1.25])
POOLING = 0.7


def drawn_spread(outcomes: Outcomes, count: int, random: np.random.Generator) -> Floats:
    """Draws of σ of one run, [P, C, S]. Prior: the common κ uniform over all positive values, γ over its grid."""
    sigma, likelihood = on_grid(outcomes)  # [K, G, C, S], [K, G, C]
    logarithm = np.log(KAPPAS)
    near = np.exp(-0.5 * ((logarithm[:, None] - logarithm) / POOLING) ** 2)  # [K, common κ]
    near /= near.sum(axis=0)
    together = np.einsum("kgc,kj->jgc", likelihood, near)
    score = np.log(together).sum(axis=2) + logarithm[:, None]  # the grid is uniform in log κ
    probability = np.exp(score - score.max()).ravel()
    common, gamma = np.unravel_index(
        random.choice(probability.size, count, p=probability / probability.sum()), score.shape
    )
    own = [
        sigma[one_of_each(likelihood[:, gamma, index] * near[:, common], random), gamma, index]
        for index in range(len(outcomes.contenders))
    ]
    return np.stack(own, axis=1)


def on_grid(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """σ for every κ and γ, [K, G, C, S], and the likelihood of a contender's scatter, [K, G, C]."""
    between, within, error = cells(outcomes)
    sigma = KAPPAS[:, None, None, None] * 0.1 * (error / 0.1) ** GAMMAS[:, None, None]
    several = outcomes.runs >= 2
    variance = sigma**2 + np.where(several, within, 0.0)
    terms = (outcomes.runs - 1) * (np.log(variance) + np.where(several, between, 0.0) / variance)
    score = -0.5 * np.where(several, terms, 0.0).sum(axis=3)
    return sigma, np.exp(np.maximum(score - score.max(axis=(0, 1)), -500))


def one_of_each(weights: Floats, random: np.random.Generator) -> NDArray[np.intp]:
    """For each column of weights [K, P] one row, drawn in proportion."""
    cumulative = weights.cumsum(axis=0)
    drawn: NDArray[np.intp] = (cumulative < random.random(weights.shape[1]) * cumulative[-1]).sum(axis=0)
    return drawn


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
