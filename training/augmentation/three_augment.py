"""ThreeAugment: grey, solarised or blurred, then other colours; the augmentation of DeiT III (2204.07118)."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.training.augmentation import colours
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform, between, per_image
from vitrail.training.augmentation.color_jitter import ColorJitter
from vitrail.training.augmentation.groups import Change, in_groups

THRESHOLD = 128.0  # of solarisation
DEVIATIONS = (0.1, 2.0)  # of the blur, in pixels


class ThreeAugment(BatchTransform):
    """Changes each image in one of three ways, all equally likely, then brightness, contrast and saturation.

    Args:
        jitter: 0.3 is a factor from 0.7 to 1.3 of each of the last three.
    """

    def __init__(self, jitter: float = 0.3) -> None:
        super().__init__()
        self.jitter = ColorJitter(jitter, jitter, jitter)

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        choices, place = draws.uniform(2).T
        changes: list[Change] = [greyed, solarised, partial(blurred, between(*DEVIATIONS, place))]
        images, maps = in_groups(images, maps, (choices * len(changes)).astype(np.int64), changes)
        changed: Augmented = self.jitter(images, maps, draws.fork(0))
        return changed


def greyed(images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
    return colours.grey(images).to(images.dtype).expand_as(images), maps


def solarised(images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
    return colours.solarize(images, per_image(np.full(len(images), THRESHOLD), images.device)), maps


def blurred(
    deviations: NDArray[np.float64], images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]
) -> Augmented:
    return colours.blur(images, deviations[positions]), maps
