"""Draws of measured errors: exact where theory is known, joint where runs agree."""

import numpy as np
import pytest
from scipy.stats import beta

from vitrail.training.study.statistics.draws import draw_errors, drawn_images, measured_errors
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.seed_spread import SeedSpread

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


def test_seeds_add_their_variance_over_their_number() -> None:
    wrong = np.zeros((1, 1, 4, 1_000), bool)
    wrong[..., :200] = True
    outcomes = Outcomes(("a",), (10,), (0, 1, 2, 3), wrong)
    spread = SeedSpread(np.ones(1), np.full((1, 1, 1), 0.03))
    drawn = draw_errors(outcomes, spread, DRAWS, np.random.default_rng(0))
    assert drawn.var() == pytest.approx(0.2 * 0.8 / 1001 + 0.03**2 / 4, rel=0.05)
    assert drawn.mean() == pytest.approx(measured_errors(outcomes)[0, 0], abs=5e-4)


def test_a_perfect_run_has_an_error_above_zero() -> None:
    outcomes = Outcomes(("a",), (10,), (0,), np.zeros((1, 1, 1, 400), bool))
    assert measured_errors(outcomes)[0, 0] == pytest.approx(0.5 / 401)
    drawn = draw_errors(outcomes, SeedSpread(np.ones(1), np.zeros((1, 1, 1))), 2000, np.random.default_rng(0))
    assert (drawn > 0).all()
    assert np.quantile(drawn, 0.95) == pytest.approx(beta(0.5, 400.5).ppf(0.95), rel=0.1)
