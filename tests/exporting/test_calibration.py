"""Temperature and calibration error, on predictions whose true probabilities are known."""

import numpy as np
import pytest
from scipy.special import softmax

from vitrail.exporting.calibration import calibration_error, fit_temperature


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, 5)).astype(np.float32)
    labels = np.array([random.choice(5, p=row) for row in softmax(logits.astype(float), axis=1)])
    return logits, labels


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 2.0, 4.0])
def test_the_temperature_undoes_overconfidence(overconfidence: float) -> None:
    logits, labels = drawn(20_000)
    assert fit_temperature(np.float32(overconfidence) * logits, labels) == pytest.approx(overconfidence, rel=0.05)


def test_it_makes_the_calibration_error_small() -> None:
    logits, labels = drawn(20_000)
    temperature = fit_temperature(3 * logits, labels)
    assert calibration_error(3 * logits, labels, 1.0) > 0.1
    assert calibration_error(3 * logits, labels, temperature) < 0.02


def test_few_correct_images_do_not_raise_confidence_without_bound() -> None:
    labels = np.arange(10) % 5
    logits = 4 * np.eye(5, dtype=np.float32)[labels]
    assert 0.2 < fit_temperature(logits, labels) < 1


def test_the_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    """Half of the images with confidence 0.9 and all correct, half with 0.6 and half of them correct."""
    sure = np.log(np.array([0.9] * 4 + [0.6] * 4))
    logits = np.stack([sure, np.log1p(-np.exp(sure))], axis=1).astype(np.float32)
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert calibration_error(logits, labels, 1.0) == pytest.approx((4 * 0.1 + 4 * 0.1) / 8, abs=1e-6)
