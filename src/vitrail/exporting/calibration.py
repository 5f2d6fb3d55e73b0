"""Calibration: one temperature, fitted on validation images, that calibrates probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from vitrail.tasks import CLASSIFICATION
from vitrail.tasks.reliability import expected_error, reliability
from vitrail.tasks.task import ProbabilityTask

Logits = NDArray[np.float32]
Targets = NDArray[Any]

# Prior on the temperature: the standard deviation of its logarithm around 0.
# Without it, validation images that are all classified correctly would drive the temperature to 0.
PRIOR = 0.5
WIDEST = 3.0  # of log temperature


def fit_temperature(logits: Logits, targets: Targets, task: ProbabilityTask = CLASSIFICATION) -> float:
    """The temperature under which these targets are the most probable; near 1 where there are few of them."""

    def cost(log_temperature: float) -> float:
        likelihood = task.log_likelihood(logits.astype(float) / np.exp(log_temperature), targets)
        return -likelihood + (log_temperature / PRIOR) ** 2 / 2

    return float(np.exp(minimize_scalar(cost, bounds=(-WIDEST, WIDEST), method="bounded").x))


def calibration_error(
    logits: Logits, targets: Targets, temperature: float, task: ProbabilityTask = CLASSIFICATION
) -> float:
    """ECE: the mean gap between confidence and the share of correct decisions."""
    confidence, correct = task.confidences(task.probabilities(logits.astype(float) / temperature), targets)
    return expected_error(reliability(confidence, correct))
