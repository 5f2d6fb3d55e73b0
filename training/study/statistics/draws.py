"""Bootstrap draws of the expected errors, over test images (the same for all runs), seeds, shocks and collapsed runs.

Images are drawn by the Bayesian bootstrap: each gets a random weight, the same for all runs, which preserves the
correlation between runs. Two half images, one wrong and one correct in all runs, are Jeffreys' prior: they keep an
error away from 0 and 1, and with equal runs the draws are exactly Beta(wrong + ½, correct + ½). Seeds and shocks then
move each mean, by a step in log-odds so that it stays between 0 and 1.
"""

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats
from vitrail.training.study.statistics.scatter import Scatter

CHUNK = 256  # draws at a time, so that the weights of many test images fit in memory


def measured_and_drawn_errors(scatter: Scatter, count: int, random: np.random.Generator) -> Floats:
    """The measured errors and `count` draws of them, [1 + D, C, S]."""
    return np.concatenate([scatter.errors[None], draw_errors(scatter, count, random)])


def draw_errors(scatter: Scatter, count: int, random: np.random.Generator) -> Floats:
    """Draws of the expected error of each contender at each size, [D, C, S]; NaN where there is no run."""
    outcomes = scatter.outcomes
    missing = outcomes.runs == 0
    shares = np.nan_to_num(outcomes.shares).reshape(-1, outcomes.images)
    errors = drawn_images(shares, count, random).reshape(count, *missing.shape)
    some = random.choice(len(scatter.seeds), count)
    slope = outcomes.errors * (1 - outcomes.errors)  # of the error against its log-odds
    odds = np.log(errors / (1 - errors)) + scatter.of_means[some] / slope * random.standard_normal(errors.shape)
    errors = np.minimum(scatter.factors[some] / (1 + np.exp(-odds)), 1.0)
    errors[:, missing] = np.nan
    return np.asarray(errors)


def drawn_images(shares: Floats, count: int, random: np.random.Generator) -> Floats:
    """Weighted means of shares [K, T] under random weights of the T images, [D, K]."""
    table = np.ascontiguousarray(shares.T, np.float32)
    parts = []
    for start in range(0, count, CHUNK):
        some = min(CHUNK, count - start)
        weight = random.standard_exponential((some, len(table)), np.float32)
        half = random.standard_gamma(0.5, (some, 2)) + 1e-12
        parts.append((weight @ table + half[:, :1]) / (weight.sum(axis=1) + half.sum(axis=1))[:, None])
    return np.concatenate(parts).astype(np.float64)
