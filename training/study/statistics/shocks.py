"""Shocks: what moves all seeds of a cell together, such as a badly chosen learning rate or an unlucky subset.

The scatter between seeds does not show it. It shows where the errors of a contender lie off any smooth curve by more
than seeds and test images explain: the relative standard deviation τ of a shock has a posterior on a grid, from the
likelihood of the measured errors under each law, averaged over its parameters. A curve may also reach a plateau at the
second largest size, which laws do not know; its probability comes from the same likelihood. With fewer than four sizes
every curve is smooth, and the prior stays.
"""

import numpy as np
from scipy.special import logsumexp, ndtr

from vitrail.training.study.statistics.laws import LAWS, Law
from vitrail.training.study.statistics.outcomes import Flags, Floats, Outcomes

TAUS = np.array([0, 0.01, 0.02, 0.03, 0.04, 0.055, 0.07, 0.09, 0.11, 0.13, 0.15, 0.18])
USUAL = 0.085  # prior: half normal with this standard deviation
FLAT = 0.3  # prior probability of a plateau
MIN_SIZES = 4
THINNED = 3  # of the grids of laws one point in three is enough here


def shocks_and_plateaus(outcomes: Outcomes, sigma: Floats) -> tuple[Floats, Floats]:
    """The posterior of `TAUS`, and each contender's probability of a plateau, [C].

    sigma [C, S] is the standard deviation between seeds.
    """
    score = np.log(np.gradient(TAUS)) - 0.5 * (TAUS / USUAL) ** 2
    plateaus = np.zeros((len(outcomes.contenders), len(TAUS)))  # for each of TAUS
    for index in range(len(outcomes.contenders)):
        has_runs = outcomes.fitted[index]
        if has_runs.sum() < MIN_SIZES:
            continue
        likelihood = log_likelihood(outcomes, sigma[index] ** 2 / np.maximum(outcomes.runs[index], 1), index, has_runs)
        score += logsumexp(likelihood, axis=0)
        plateaus[index] = np.exp(likelihood[1] - logsumexp(likelihood, axis=0))
    probability = np.exp(score - logsumexp(score))
    return probability, plateaus @ probability


def log_likelihood(outcomes: Outcomes, seeds: Floats, index: int, has_runs: Flags) -> Floats:
    """Of one contender's errors, without a plateau and with one, for each of `TAUS`, [2, T].

    seeds [S] is the variance of means over seeds.
    """
    sizes = np.array(outcomes.sizes, float)[has_runs]
    shares, error, count = outcomes.shares[index, has_runs], outcomes.errors[index, has_runs], outcomes.images
    fixed = np.cov(shares) / count + np.diag(seeds[has_runs] + 0.5 / (count + 1) ** 2)
    covariances = fixed + np.eye(len(error)) * (TAUS[:, None, None] * error) ** 2
    x = sizes / sizes[-1]
    forms = ((x, np.log(1 - FLAT)), (np.minimum(x, x[-2]), np.log(FLAT)))
    grids = [(law, law.grid(float(x.min()))[::THINNED]) for law in LAWS]
    return np.stack(
        [
            prior + logsumexp([evidence(law, law.shapes(at, grid), error, covariances) for law, grid in grids], axis=0)
            for at, prior in forms
        ]
    )


def evidence(law: Law, shapes: Floats, error: Floats, covariances: Floats) -> Floats:
    """The logarithm of the probability of errors [S] under a law with shapes [G, 2, S], for covariances [T, S, S].

    Prior: the coefficients half normal, wide beside any curve; the other parameters uniform over their grid.
    """
    basis = shapes.swapaxes(1, 2)
    if not law.logarithmic:
        return log_evidence(basis, error, covariances, np.full(2, 1 / (2 * error[-1]) ** 2))
    basis = np.concatenate([np.ones((*basis.shape[:2], 1)), basis], axis=2)
    relative = covariances / np.outer(error, error)
    precision = 1 / np.array([3.0, 1.5, 1.5]) ** 2
    return log_evidence(basis, np.log(error), relative, precision) - float(np.log(error).sum())


def log_evidence(basis: Floats, target: Floats, covariances: Floats, precision: Floats) -> Floats:
    """Of target [S], a sum of basis [G, S, k] with normal coefficients, the last two positive, and normal noise."""
    inverse = np.linalg.inv(covariances)  # [T, S, S]
    weighted = basis.swapaxes(1, 2) @ inverse[:, None]  # [T, G, k, S]
    spread = np.linalg.inv(weighted @ basis + np.diag(precision))  # [T, G, k, k]
    outer = weighted @ target
    best = (spread @ outer[..., None])[..., 0]
    misfit = (target @ inverse @ target)[:, None] - (best * outer).sum(axis=2)
    volume = np.linalg.slogdet(covariances)[1][:, None] - np.linalg.slogdet(spread)[1] - np.log(precision).sum()
    deviation = np.sqrt(spread[..., [-2, -1], [-2, -1]])
    positive = np.log(np.maximum(2 * ndtr(best[..., -2:] / deviation), 1e-12)).sum(axis=2)
    return np.asarray(logsumexp(positive - 0.5 * (misfit + volume), axis=1) - np.log(len(basis)))
