"""Abstention: how probable an answer must be to be given at all."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vitrail.model_file.card import Abstention
from vitrail.tasks.intervals import wilson

KEPT = 0.95  # of the images that are answered rightly


def fit_threshold(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """The probability that this share of right answers reaches; 0, so never to abstain, where none is right."""
    probabilities = softmax(logits.astype(float) / temperature, axis=1)
    right = probabilities.argmax(axis=1) == labels
    if not right.any():
        return 0.0
    return float(np.quantile(probabilities[right].max(axis=1), 1 - KEPT, method="lower"))


def weigh_threshold(
    threshold: float, logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> Abstention:
    """What abstaining below the threshold does to these images."""
    probabilities = softmax(logits.astype(float) / temperature, axis=1)
    answered = probabilities.max(axis=1) >= threshold
    right = answered & (probabilities.argmax(axis=1) == labels)
    return Abstention(
        threshold=threshold,
        answered=wilson(int(answered.sum()), len(labels)),
        accuracy_answered=wilson(int(right.sum()), int(answered.sum())),
    )
