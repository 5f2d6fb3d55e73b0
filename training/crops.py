"""Random crops of training images at their own shape, another one in each epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.errors import UsageError

TRIES = 10  # boxes drawn for each image, of which the first that fits is taken, as in torchvision

Boxes = NDArray[np.int64]  # [B, 4]: top, left, height, width


@dataclass(frozen=True)
class RandomCrop:
    """Cuts a rectangle out of each training image and resizes it to the canvas.

    Args:
        scale: the least and the most of the image's area that is kept.
        ratio: the least and the most of width over height; where images keep their shapes, as a multiple of their own.
    """

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))
        object.__setattr__(self, "ratio", tuple(self.ratio))
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UsageError(f"a crop keeps a share of the image between 0 and 1, not {list(self.scale)}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise UsageError(f"a crop's ratios are positive, the smaller first, not {list(self.ratio)}")

    def boxes(self, sides: NDArray[np.int64], draws: Draws, keeps_shape: bool = False) -> Boxes:
        """A box in each image, whose height and width are `sides` [B, 2]."""
        height, width = sides[:, :1], sides[:, 1:]
        own = width / height if keeps_shape else np.ones(height.shape)
        area, ratio, top, left = draws.uniform(4 * TRIES).reshape(len(sides), 4, TRIES).swapaxes(0, 1)
        area = (self.scale[0] + area * (self.scale[1] - self.scale[0])) * height * width
        low, high = np.log(self.ratio)
        ratio = own * np.exp(low + ratio * (high - low))
        across, down = (np.rint(np.sqrt(side)).astype(np.int64) for side in (area * ratio, area / ratio))
        fits = (across >= 1) & (across <= width) & (down >= 1) & (down <= height)
        top = np.floor(top * (height - down + 1)).astype(np.int64)
        left = np.floor(left * (width - across + 1)).astype(np.int64)
        first = fits.argmax(axis=1)[:, None]
        drawn = np.stack([np.take_along_axis(one, first, 1)[:, 0] for one in (top, left, down, across)], axis=1)
        return np.where(fits.any(axis=1)[:, None], drawn, self.central(sides, own[:, 0]))

    def central(self, sides: NDArray[np.int64], own: NDArray[np.float64]) -> Boxes:
        """The largest central box of an allowed ratio, for images so long that no drawn box fits."""
        height, width = sides[:, 0], sides[:, 1]
        across = np.minimum(width, np.maximum(1, np.rint(height * own * self.ratio[1]).astype(np.int64)))
        down = np.minimum(height, np.maximum(1, np.rint(width / (own * self.ratio[0])).astype(np.int64)))
        return np.stack([(height - down) // 2, (width - across) // 2, down, across], axis=1)


def cropped(image: NDArray[np.uint8], box: NDArray[np.int64], sides: tuple[int, int]) -> Tensor:
    """The box of an image [height, width, 3], resized with antialiasing to these sides: uint8 [3, height, width]."""
    top, left, down, across = box.tolist()
    inside = image[top : top + down, left : left + across].copy()  # images of the store are read-only
    pixels = torch.from_numpy(inside).permute(2, 0, 1)[None]
    return F.interpolate(pixels, size=sides, mode="bilinear", antialias=True)[0]


def cropped_maps(maps: NDArray[Any], sides: NDArray[np.int64], box: NDArray[np.int64], size: int) -> Tensor:
    """The same part of the image's map [height, width], or maps [K, height, width], nothing blended: [size, size].

    The box is one of an image with these sides; its maps may be larger.
    """
    (height, width), (top, left, down, across) = sides.tolist(), box.tolist()
    tall, wide = maps.shape[-2:]
    part = (left * wide / width, top * tall / height, (left + across) * wide / width, (top + down) * tall / height)
    each = [Image.fromarray(one) for one in maps.reshape(-1, tall, wide)]
    cut = [np.array(one.resize((size, size), Image.Resampling.NEAREST, part)) for one in each]
    return torch.from_numpy(np.stack(cut).reshape(*maps.shape[:-2], size, size))
