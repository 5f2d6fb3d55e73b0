"""Draws of measured errors: exact where theory is known, joint where runs agree."""

import numpy as np
import pytest
from scipy.stats import beta

from vitrail.training.study.statistics.draws import draw_errors, drawn_images
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.scatter import Scatter

DRAWS = 40_000


def test_one_run_is_drawn_from_jeffreys_posterior() -> None:
    wrong = np.zeros((1, 100))
    wrong[0, :7] = 1
    drawn = drawn_images(wrong, DRAWS, np.random.default_rng(0))[:, 0]
    shares = [0.01, 0.05, 0.5, 0.95, 0.99]
    np.testing.assert_allclose(np.quantile(drawn, shares), beta(7.5, 93.5).ppf(shares), rtol=0.02)


def test_draws_keep_the_correlation_of_runs() -> None:
    wrong = np.zeros((3, 200))
    wrong[0, :20] = wrong[1, :20] = 1
    wrong[2, 20:40] = 1
    drawn = drawn_images(wrong, 5000, np.random.default_rng(0))
    assert np.ptp(drawn[:, 0] - drawn[:, 1]) == 0
    expected = -20 / 180  # of shares of a whole: −p·q / (p·(1−p)) with p = q = 0.1
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] == pytest.approx(expected, abs=0.06)


def scatter(outcomes: Outcomes, seeds: float = 0.0, shock: float = 0.0, factor: float = 1.0) -> Scatter:
    """Without uncertainty."""
    each = np.ones((1, *outcomes.runs.shape))
    return Scatter(outcomes, np.zeros_like(outcomes.done), seeds * each, np.array([shock]), factor * each, np.zeros(1))


def fifth_wrong() -> Outcomes:
    wrong = np.zeros((1, 1, 4, 1_000), bool)
    wrong[..., :200] = True
    return Outcomes(("a",), (10,), (0, 1, 2, 3), wrong)


def test_seeds_add_their_variance_over_their_number_and_shocks_add_theirs() -> None:
    drawn = draw_errors(scatter(fifth_wrong(), 0.03, 0.1), DRAWS, np.random.default_rng(0))
    assert drawn.var() == pytest.approx(0.2 * 0.8 / 1001 + 0.03**2 / 4 + 0.02**2, rel=0.05)
    assert drawn.mean() == pytest.approx(0.2, abs=2e-3)


def test_collapsed_runs_count_by_their_factor() -> None:
    one = scatter(fifth_wrong(), factor=1.3)
    drawn = draw_errors(one, DRAWS, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(0.26, abs=1e-3)
    assert one.errors[0, 0] == pytest.approx(1.3 * 200.5 / 1001)


def test_a_perfect_run_has_an_error_above_zero() -> None:
    outcomes = Outcomes(("a",), (10,), (0,), np.zeros((1, 1, 1, 400), bool))
    assert outcomes.errors[0, 0] == pytest.approx(0.5 / 401)
    drawn = draw_errors(scatter(outcomes), 2000, np.random.default_rng(0))
    assert (drawn > 0).all()
    assert np.quantile(drawn, 0.95) == pytest.approx(beta(0.5, 400.5).ppf(0.95), rel=0.1)
