"""Classifiers that see no relation between places; a set whose question is a relation leaves them at chance."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


def linear_accuracy(features: Features, labels: Labels) -> float:
    """Cross-validated accuracy of one matrix."""
    scaled = StandardScaler().fit_transform(features)
    return float(cross_val_score(RidgeClassifier(alpha=100), scaled, labels, cv=3).mean())


def neighbour_accuracy(features: Features, labels: Labels) -> float:
    """Cross-validated accuracy of the vote of similar images, for few features."""
    return float(cross_val_score(KNeighborsClassifier(25), features, labels, cv=4).mean())


def pixels(images: NDArray[Any]) -> Features:
    return images.reshape(len(images), -1).astype(np.float64)


def bag_of_patches(images: NDArray[np.uint8]) -> Features:
    """How often each of the 512 black and white patches of 3 × 3 pixels occurs."""
    middle = (images.min(axis=(1, 2)) / 2 + images.max(axis=(1, 2)) / 2)[:, None, None]
    windows = sliding_window_view(images > middle, (3, 3), axis=(1, 2)).reshape(len(images), -1, 9)
    codes = windows @ (1 << np.arange(9))
    return np.stack([np.bincount(row, minlength=512) for row in codes]).astype(np.float64)
