"""Mirrored images."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform, checked_probability
from vitrail.training.augmentation.groups import in_groups, unchanged


class Flip(BatchTransform):
    axis: ClassVar[int]

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = checked_probability(p)

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        chosen = (draws.uniform(1)[:, 0] < self.p).astype(np.int64)
        return in_groups(images, maps, chosen, [unchanged, self.flipped])

    def flipped(self, images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
        return images.flip(self.axis), None if maps is None else maps.flip(self.axis)


class HorizontalFlip(Flip):
    """Left and right change places.

    Args:
        p: the probability for each image.
    """

    axis = -1


class VerticalFlip(Flip):
    """Top and bottom change places.

    Args:
        p: the probability for each image.
    """

    axis = -2
