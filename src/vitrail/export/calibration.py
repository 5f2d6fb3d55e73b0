"""Calibration: one temperature, fitted on validation pictures, that makes probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]

# How far from 1 a temperature may be believed to lie before a picture is seen, as a deviation of its logarithm.
# Without it, validation pictures that are all answered rightly would make the model surer without end.
PRIOR = 0.5
WIDEST = 3.0  # of log temperature
BINS = 15


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature under which these labels are the most probable; near 1 where there are few of them."""

    def cost(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(float) / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].sum() + (log_temperature / PRIOR) ** 2 / 2)

    return float(np.exp(minimize_scalar(cost, bounds=(-WIDEST, WIDEST), method="bounded").x))


def calibration_error(logits: Logits, labels: Labels, temperature: float) -> float:
    """ECE: how far, on average, the probability of the answer lies from the share of right answers."""
    probabilities = softmax(logits.astype(float) / temperature, axis=1)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(sure[place == i].sum() - right[place == i].sum()) for i in range(BINS)]
    return float(sum(gaps) / len(labels))
