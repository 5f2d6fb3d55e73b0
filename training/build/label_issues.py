"""Labels that are likely wrong: images that a probe, fitted without them, takes for another class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is likely wrong, and the class that it looks like."""

    index: int
    label: int
    likely: int
    probability: float  # of the likely class


def folds_of(labels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Parts of the images with nearly the same share of each class."""
    random = np.random.default_rng(seed)
    number = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        number[members] = (np.arange(len(members)) + random.integers(FOLDS)) % FOLDS
    return [fold for index in range(FOLDS) if len(fold := np.flatnonzero(number == index))]


def label_issues(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[LabelIssue]:
    """The most certain first.

    An image is listed where another class is predicted at least as surely as images of that class are on average
    (confident learning, 1911.00068), and its own label less surely than half as much.
    """
    own = probabilities[np.arange(len(labels)), labels]
    threshold = np.array(
        [own[labels == k].mean() if (labels == k).any() else 1.0 for k in range(probabilities.shape[1])]
    )
    likely = probabilities.argmax(axis=1)
    surest = probabilities.max(axis=1)
    is_issue = (likely != labels) & (surest >= threshold[likely]) & (own < surest / 2)
    order = np.flatnonzero(is_issue)[np.argsort(-(surest - own)[is_issue], kind="stable")]
    return [LabelIssue(int(i), int(labels[i]), int(likely[i]), float(surest[i])) for i in order]
