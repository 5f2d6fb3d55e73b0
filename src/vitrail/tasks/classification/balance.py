"""Shares of classes among training images, and the weights of classes that even them out."""

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import DataError

Shares = NDArray[np.float64]  # [K], with a sum of 1


def class_shares(labels: NDArray[np.int64], classes: int, weights: NDArray[np.float64] | None = None) -> Shares:
    """Of labels [N]; an image of weight 2 counts like the image twice."""
    counts = np.bincount(labels, weights, classes)
    if not counts.all():
        raise DataError(f"class number {int(counts.argmin())} has no training images: leave out balance")
    shares: Shares = counts / counts.sum()
    return shares


def class_weights(shares: Shares) -> NDArray[np.float64]:
    """By which all classes count the same in the loss; their mean over the training images is 1."""
    return 1 / (len(shares) * shares)
