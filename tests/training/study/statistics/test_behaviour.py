"""Ill-behaved curves are named, well-behaved ones pass."""

import numpy as np
import pytest

from vitrail.training.study.statistics.average import averaged
from vitrail.training.study.statistics.behaviour import ill_behaved

SIZES = np.array([100, 250, 630, 1600, 4000], float)


def verdict(curve: list[float], spread: float = 0.03, seed: int = 0, sizes: np.ndarray = SIZES) -> str | None:
    noise = np.random.default_rng(seed).standard_normal((300, len(sizes)))
    errors = np.concatenate([[curve], np.array(curve) * (1 + spread * noise)])
    return ill_behaved(sizes, errors, averaged(sizes, errors))


@pytest.mark.parametrize(
    "curve", [[0.5, 0.35, 0.25, 0.18, 0.14], [0.1, 0.1, 0.1, 0.1, 0.1], [0.9, 0.88, 0.5, 0.1, 0.04]]
)
def test_curves_as_laws_know_them_pass(curve: list[float]) -> None:
    assert verdict(curve) is None


def test_more_images_more_mistakes() -> None:
    words = verdict([0.5, 0.3, 0.4, 0.2, 0.1])
    assert words == "it errs more with 630 images (40.0%) than with 250 (30.0%)"
    assert verdict([0.5, 0.3, 0.31, 0.22, 0.17], 0.1) is None  # within what chance does


def test_a_staircase_follows_no_law() -> None:
    words = verdict([0.50, 0.49, 0.25, 0.245, 0.12, 0.119], 0.01, sizes=np.array([100, 200, 400, 800, 1600, 3200.0]))
    assert words is not None
    assert words.startswith("no law fits it")


def test_a_lawful_curve_is_seldom_refused() -> None:
    random = np.random.default_rng(5)
    truth = 0.05 + 3 * SIZES**-0.5
    refused = [verdict((truth * (1 + 0.03 * random.standard_normal(5))).tolist(), seed=seed) for seed in range(100)]
    assert sum(words is not None for words in refused) <= 5  # two checks, each wrong in 1 %: 2 expected
