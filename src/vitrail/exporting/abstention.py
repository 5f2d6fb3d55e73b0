"""Abstention: the least probability at which a prediction is given."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vitrail.model_file.card import Abstention
from vitrail.tasks.intervals import wilson

KEPT = 0.95  # of the correct predictions


def fit_threshold(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """The probability that this share of correct predictions reaches; 0 (never abstain) where none is correct."""
    probabilities = softmax(logits.astype(float) / temperature, axis=1)
    correct = probabilities.argmax(axis=1) == labels
    if not correct.any():
        return 0.0
    return float(np.quantile(probabilities[correct].max(axis=1), 1 - KEPT, method="lower"))


def evaluate_threshold(
    threshold: float, logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> Abstention:
    """The effect on these images of abstaining below the threshold."""
    probabilities = softmax(logits.astype(float) / temperature, axis=1)
    covered = probabilities.max(axis=1) >= threshold
    correct = covered & (probabilities.argmax(axis=1) == labels)
    return Abstention(
        threshold=threshold,
        coverage=wilson(int(covered.sum()), len(labels)),
        selective_accuracy=wilson(int(correct.sum()), int(covered.sum())),
    )
