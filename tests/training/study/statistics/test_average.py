"""The averaged curve: weights from the held-out size, laws assigned to draws by these weights."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from vitrail.training.study.statistics.average import HeldOut, assign_laws, averaged

SIZES = np.array([100, 250, 630, 1600, 4000], float)


def test_weights_are_densities_of_the_residuals() -> None:
    draws = np.array([[-1.0, -2.0], [1.0, 2.0]])  # scatter 1 and 2
    held_out = HeldOut(np.concatenate([[[1.5, 1.5]], draws]), np.zeros(3), 1.0)
    expected = np.array([norm.pdf(1.5), norm.pdf(1.5, scale=2)])
    np.testing.assert_allclose(held_out.weights(), expected / expected.sum())


def test_laws_are_assigned_by_their_weights() -> None:
    assigned = assign_laws(np.array([0.5, 0.2, 0.0, 0.3]), 1000)
    np.testing.assert_allclose(np.bincount(assigned, minlength=4) / 1000, [0.5, 0.2, 0.0, 0.3], atol=0.003)
    np.testing.assert_allclose(np.bincount(assigned[:50], minlength=4) / 50, [0.5, 0.2, 0.0, 0.3], atol=0.04)


def drawn(curve: np.ndarray, spread: float, count: int = 400) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((count, len(curve)))
    return np.concatenate([curve[None], curve * (1 + spread * noise)])


def test_a_curve_of_a_law_is_forecast_beyond_the_largest_size() -> None:
    def truth(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(0.05 + 2.5 * sizes**-0.5)

    curve = averaged(SIZES, drawn(truth(SIZES), 0.02))
    at = np.array([100.0, 1600.0, 4000.0, 8000.0])
    assert (np.abs(curve.measured(at) / truth(at) - 1) < [0.02, 0.02, 0.02, 0.06]).all()
    low, high = np.quantile(curve.draws(at), [0.05, 0.95], axis=0)
    assert ((low < truth(at)) & (truth(at) < high)).all()


def test_a_law_with_a_bad_held_out_forecast_has_little_weight() -> None:
    """A sigmoid that has only begun to fall: power laws forecast too high an error."""
    sigmoid = 0.02 + 0.85 / (1 + (SIZES / 900) ** 2.2)
    curve = averaged(SIZES, drawn(sigmoid, 0.02))
    weights = {fit.law.name: weight for fit, weight in zip(curve.fits, curve.weights, strict=True)}
    assert weights["MMF4"] + weights["POW4"] > 0.9  # a shifted power bends almost as a sigmoid does
    assert weights["POW3"] < 0.01


def test_three_sizes_use_the_smallest_law_only() -> None:
    curve = averaged(SIZES[:3], drawn(0.05 + 2.5 * SIZES[:3] ** -0.5, 0.02))
    assert [one.law.name for one in curve.fits] == ["POW3"]
    assert curve.held_out is None
    assert curve.measured(SIZES[:3]) == pytest.approx(0.05 + 2.5 * SIZES[:3] ** -0.5, rel=0.01)
