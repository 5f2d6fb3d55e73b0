"""The paired gap, by hand and against scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from vitrail.training.study.statistics.difference import Gap, gap
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.scatter import Scatter


def two(first: int, second: int, both: int, images: int, sigma: float = 0.0, shock: float = 0.0) -> Scatter:
    """One run each, with numbers of images wrong in the first only, in the second only, in both."""
    wrong = np.zeros((2, 1, 1, images), bool)
    wrong[0, 0, 0, : first + both] = True
    wrong[1, 0, 0, first : first + both + second] = True
    outcomes, one = Outcomes(("a", "b"), (10,), (0,), wrong), np.ones((1, 2, 1))
    return Scatter(outcomes, np.zeros_like(outcomes.done), sigma * one, np.array([shock]), one, np.zeros(2))


def test_images_are_paired() -> None:
    """30 against 10 of 1,000: only images with different predictions count, as in McNemar's test."""
    one = gap(two(30, 10, 200, 1000), 0, 1, 0)
    assert one is not None
    assert one.mean == pytest.approx(0.02)
    error = np.sqrt((41 / 1001 - 0.02**2) / 1000)
    assert one.standard_error == pytest.approx(error)
    assert one.significance == pytest.approx(2 * norm.sf(0.02 / error))
    assert one.first_ahead == pytest.approx(norm.sf(0.02 / error))
    assert [one.quantile(0.05), one.quantile(0.95)] == pytest.approx(norm(0.02, error).ppf([0.05, 0.95]))


def test_the_variance_of_seeds_is_added() -> None:
    one = gap(two(30, 10, 200, 1000, sigma=0.01), 0, 1, 0)
    assert one is not None
    assert one.standard_error**2 == pytest.approx((41 / 1001 - 0.02**2) / 1000 + 2 * 0.01**2)


def test_shocks_of_both_are_added() -> None:
    one = gap(two(30, 10, 200, 1000, shock=0.1), 0, 1, 0)
    assert one is not None
    shocks = (0.1 * 230.5 / 1001) ** 2 + (0.1 * 210.5 / 1001) ** 2
    assert one.standard_error**2 == pytest.approx((41 / 1001 - 0.02**2) / 1000 + shocks)


def test_a_collapsing_contender_is_worse_by_its_factor() -> None:
    plain = two(30, 10, 200, 1000)
    one = gap(replace(plain, factors=np.array([[[1.5], [1.0]]])), 0, 1, 0)
    assert one is not None
    assert one.mean == pytest.approx(1.5 * 0.23 - 0.21)


def test_a_posterior_of_spreads_has_heavier_tails_than_its_mean() -> None:
    mixed = Gap(np.zeros(5), np.array([0.5, 0.5, 0.5, 0.5, 2.0]))
    assert mixed.standard_error == pytest.approx(1.0)
    assert mixed.below(-2.5) == pytest.approx(0.8 * norm.cdf(-5) + 0.2 * norm.cdf(-1.25))
    assert mixed.below(-2.5) > 3 * norm.cdf(-2.5)
    assert mixed.below(mixed.quantile(0.9)) == pytest.approx(0.9)


def test_equal_predictions_are_not_certainty() -> None:
    one = gap(two(0, 0, 50, 400), 0, 1, 0)
    assert one is not None
    assert (one.mean, one.first_ahead) == (0, 0.5)
    assert one.standard_error == pytest.approx(1 / np.sqrt(401 * 400))


def test_a_missing_run_has_no_gap() -> None:
    both = two(3, 1, 0, 50)
    assert gap(replace(both, outcomes=both.outcomes.without(np.array([[[False]], [[True]]]))), 0, 1, 0) is None
