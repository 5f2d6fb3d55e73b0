"""Mean and standard deviation of the pixels of training images, each channel's, from 0 to 1."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vitrail.models.timm_models import Three
from vitrail.training.data_module import ImageDataModule

MOST = 10_000  # images that are read for it where they are not in memory
FLATTEST = 1 / 255  # a channel that is the same everywhere is divided by this


def measured(data: ImageDataModule) -> tuple[Three, Three]:
    """Over all training images in memory; else over evenly spaced ones, as training reads them."""
    if data.is_resident("train"):
        return mean_and_std(data.part("train").images)
    images = data.images("train", data.trained_form("train"))
    chosen = np.linspace(0, len(images) - 1, min(MOST, len(images))).astype(np.int64)
    return mean_and_std(images[index] for index in chosen.tolist())


def mean_and_std(images: Iterable[NDArray[np.uint8]]) -> tuple[Three, Three]:
    """From the counts of each of 256 values, so that the order of the images changes no digit."""
    counts = np.zeros((3, 256))
    for image in images:  # [H, W, 3]
        for channel in range(3):
            counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ values
    deviations = np.sqrt((shares * (values - means[:, None]) ** 2).sum(axis=1))
    return three(means), three(np.maximum(deviations, FLATTEST))


def three(numbers: NDArray[np.float64]) -> Three:
    red, green, blue = numbers.tolist()
    return red, green, blue
