"""Calibration: one temperature, fitted on validation images, that makes probabilities mean what they say."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from vitrail.tasks import CLASSIFICATION
from vitrail.tasks.task import ProbabilityTask

Logits = NDArray[np.float32]
Targets = NDArray[Any]

# How far from 1 a temperature may be believed to lie before an image is seen, as a deviation of its logarithm.
# Without it, validation images that are all answered rightly would make the model surer without end.
PRIOR = 0.5
WIDEST = 3.0  # of log temperature
BINS = 15


def fit_temperature(logits: Logits, targets: Targets, task: ProbabilityTask = CLASSIFICATION) -> float:
    """The temperature under which these targets are the most probable; near 1 where there are few of them."""

    def cost(log_temperature: float) -> float:
        likelihood = task.log_likelihood(logits.astype(float) / np.exp(log_temperature), targets)
        return -likelihood + (log_temperature / PRIOR) ** 2 / 2

    return float(np.exp(minimize_scalar(cost, bounds=(-WIDEST, WIDEST), method="bounded").x))


def calibration_error(
    logits: Logits, targets: Targets, temperature: float, task: ProbabilityTask = CLASSIFICATION
) -> float:
    """ECE: how far, on average, the probability of what is decided lies from the share of right decisions."""
    sure, right = task.confidences(task.probabilities(logits.astype(float) / temperature), targets)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(sure[place == i].sum() - right[place == i].sum()) for i in range(BINS)]
    return float(sum(gaps) / len(sure))
