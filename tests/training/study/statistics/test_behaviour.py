"""Ill-behaved curves are refused with a reason, well-behaved ones pass."""

import numpy as np
import pytest

from vitrail.training.study.statistics.average import averaged
from vitrail.training.study.statistics.behaviour import ill_behaved

SIZES = np.array([100, 250, 630, 1600, 4000], float)


def reason(curve: list[float], spread: float = 0.03, seed: int = 0, sizes: np.ndarray = SIZES) -> str | None:
    noise = np.random.default_rng(seed).standard_normal((300, len(sizes)))
    errors = np.concatenate([[curve], np.array(curve) * (1 + spread * noise)])
    return ill_behaved(sizes, errors, averaged(sizes, errors))


@pytest.mark.parametrize(
    "curve", [[0.5, 0.35, 0.25, 0.18, 0.14], [0.1, 0.1, 0.1, 0.1, 0.1], [0.9, 0.88, 0.5, 0.1, 0.04]]
)
def test_regular_curves_pass(curve: list[float]) -> None:
    assert reason(curve) is None


def test_a_rising_curve_is_refused() -> None:
    text = reason([0.5, 0.3, 0.4, 0.2, 0.1])
    assert text == "its error with 630 images (40.0%) is higher than with 250 (30.0%)"
    assert reason([0.5, 0.3, 0.31, 0.22, 0.17], 0.1) is None  # within chance


def test_a_staircase_is_refused() -> None:
    text = reason([0.50, 0.49, 0.25, 0.245, 0.12, 0.119], 0.01, sizes=np.array([100, 200, 400, 800, 1600, 3200.0]))
    assert text is not None
    assert text.startswith("no law fits it")


def test_a_curve_of_a_law_is_seldom_refused() -> None:
    random = np.random.default_rng(5)
    truth = 0.05 + 3 * SIZES**-0.5
    refused = [reason((truth * (1 + 0.03 * random.standard_normal(5))).tolist(), seed=seed) for seed in range(100)]
    assert sum(one is not None for one in refused) <= 5  # two checks with 1 % false positives each: 2 expected
