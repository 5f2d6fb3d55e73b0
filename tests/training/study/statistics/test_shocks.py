"""Shocks: found where errors lie off every smooth curve, not where they follow a law or a plateau."""

import numpy as np
import pytest

from vitrail.training.study.statistics.laws import POW3
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.scatter import Scatter, scatter_of
from vitrail.training.study.statistics.shocks import TAUS, USUAL, log_evidence, shocks_and_plateaus
from vitrail.training.study.statistics.synthetic import AS_ASSUMED, CASES, PAIRS, SIZES, Case, study

IMAGES = 20_000  # so that test images leave shocks visible


def found(case: Case, count: int = 28) -> float:
    """The mean estimate over studies with a case's shocks."""
    random = np.random.default_rng(0)
    estimates = [scatter_of(study(PAIRS[index % len(PAIRS)], 3, IMAGES, random, case)).shock for index in range(count)]
    return float(np.mean(estimates))


def case(name: str) -> Case:
    return next(one for one in CASES if one.name == name)


def test_shocks_are_found_where_there_are_some() -> None:
    assert found(case("a shock for each cell")) == pytest.approx(0.08, abs=0.025)
    assert found(AS_ASSUMED) < 0.045


def test_a_plateau_is_no_shock() -> None:
    assert found(case("a plateau at the largest size")) < 0.05


def test_with_three_sizes_the_prior_stays() -> None:
    whole = study(PAIRS[0], 3, 400, np.random.default_rng(0))
    three = Outcomes(whole.contenders, SIZES[:3], whole.seeds, whole.wrong[:, :3], whole.done[:, :3])
    probability, _ = shocks_and_plateaus(three, np.zeros((2, 3)))
    prior = np.gradient(TAUS) * np.exp(-0.5 * (TAUS / USUAL) ** 2)
    np.testing.assert_allclose(probability, prior / prior.sum())


def test_the_evidence_of_one_law_is_a_normal_integral() -> None:
    """Half-normal coefficients, integrated on a grid."""
    x, error = np.array([0.25, 0.5, 1.0]), np.array([0.4, 0.3, 0.2])
    covariance, precision = np.diag([0.02, 0.015, 0.01]) ** 2, np.full(2, 1 / 0.4**2)
    basis = POW3.shapes(x, np.array([[0.7]])).swapaxes(1, 2)
    c, a = np.meshgrid(*[np.linspace(0, 1, 1001)] * 2, indexing="ij")
    residual = (c[..., None] + a[..., None] * x**-0.7 - error) / np.sqrt(np.diag(covariance))
    likelihood = np.exp(-0.5 * (residual**2).sum(axis=2)) / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(covariance))
    prior = (2 / np.sqrt(2 * np.pi) / 0.4) ** 2 * np.exp(-0.5 * (c**2 + a**2) / 0.4**2)
    integral = (likelihood * prior).sum() * 1e-6
    constant = 1.5 * np.log(2 * np.pi)  # the same for all, and left out
    # The truncation at zero is that of independent coefficients.
    assert log_evidence(basis, error, covariance[None], precision)[0] - constant == pytest.approx(
        np.log(integral), abs=0.5
    )


def test_a_mean_over_seeds_keeps_its_shock() -> None:
    one = study(PAIRS[0], 3, 400, np.random.default_rng(0))
    scatter = Scatter(
        one, np.zeros_like(one.done), np.zeros((1, 2, 5)), np.array([0.1]), np.ones((1, 2, 5)), np.zeros(2)
    )
    np.testing.assert_allclose(scatter.of_means[0], 0.1 * one.errors)
