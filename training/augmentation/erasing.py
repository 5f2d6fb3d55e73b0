"""Random erasing: a rectangle of an image is overwritten."""

from math import log
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform, between, checked_probability
from vitrail.training.augmentation.boxes import inside

ATTEMPTS = 10  # at a rectangle that fits, as torchvision makes


class Erasing(BatchTransform):
    """Overwrites a random rectangle; maps stay, since what is hidden is to be predicted all the same.

    Args:
        p: the probability for each image.
        scale: the smallest and the largest share of the image that is erased.
        ratio: the smallest and the largest ratio of height to width.
        value: the new value from 0 to 255, one for each channel, or 'random' for noise.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | tuple[float, float, float] | Literal["random"] = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise UsageError(f"scale is the smallest and the largest share of an image, from 0 to 1, not {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise UsageError(f"ratio is the smallest and the largest ratio of height to width, above 0, not {ratio}")
        self.p = checked_probability(p)
        self.scale, self.ratio, self.value = scale, ratio, value

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        height, width = images.shape[-2:]
        erased = inside(self.boxes(draws, height, width), height, width, images.device).to(torch.uint8).neg_()
        # All bits of the difference from the values, or none: faster than `torch.where` on bytes.
        return (images ^ self.values(images, draws)).bitwise_and_(erased).bitwise_xor_(images), maps

    def boxes(self, draws: Draws, height: int, width: int) -> NDArray[np.int64]:
        """Empty ones where nothing is erased: also if no attempt fits, as in torchvision."""
        areas = height * width * between(*self.scale, draws.fork(0).uniform(ATTEMPTS))
        ratios = np.exp(between(log(self.ratio[0]), log(self.ratio[1]), draws.fork(1).uniform(ATTEMPTS)))
        down, across = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
        fits = (down < height) & (across < width)
        first = np.arange(len(fits)), fits.argmax(axis=1)
        whether, row, column = draws.fork(2).uniform(3).T
        erased = fits.any(axis=1) & (whether < self.p)
        down, across = down[first] * erased, across[first] * erased
        top, left = np.floor(row * (height - down + 1)), np.floor(column * (width - across + 1))
        return np.stack([top, left, top + down, left + across], axis=1).astype(np.int64)

    def values(self, images: Tensor, draws: Draws) -> Tensor:
        if self.value == "random":
            noise = draws.fork(3).bytes(images[0].numel())
            return torch.from_numpy(noise).to(images.device).view(images.shape)
        values = torch.tensor(self.value, device=images.device).view(1, -1, 1, 1)
        return values.to(torch.uint8)
