"""Affine changes: each pixel of the result is the pixel of the image that is nearest to its origin."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitrail.tasks.dense.predictions import IGNORED
from vitrail.training.augmentation.batch_transform import Augmented, per_image

# From magnitudes [n] and the height and width of the images to [n, 2, 3]: where a pixel of the result comes from, in
# pixels from the centre of the image. Directions are those of torchvision.
Matrices = Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]


def shear_x(factors: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Each row is shifted by the factor times its distance from the top."""
    return matrices(xy=factors, x=factors * height / 2)


def shear_y(factors: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Each column is shifted by the factor times its distance from the left."""
    return matrices(yx=factors, y=factors * width / 2)


def translate_x(pixels: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """To the right, by whole pixels."""
    return matrices(x=-np.trunc(pixels))


def translate_y(pixels: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Down, by whole pixels."""
    return matrices(y=-np.trunc(pixels))


def rotate(degrees: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Counter-clockwise about the centre."""
    radians = np.radians(degrees)
    cosine, sine = np.cos(radians), np.sin(radians)
    return matrices(xx=cosine, xy=-sine, yx=sine, yy=cosine)


def matrices(**entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Identities [n, 2, 3] except for these entries [n]: xx, xy, x; yx, yy, y."""
    (count,) = {len(entry) for entry in entries.values()}
    out = np.tile(np.eye(2, 3), (count, 1, 1))
    for name, entry in entries.items():
        out[:, "xy".index(name[0]), "xy".index(name[1]) if len(name) == 2 else 2] = entry
    return out


def warped(images: Tensor, maps: Tensor | None, transforms: NDArray[np.float64]) -> Augmented:
    """Images [n, 3, H, W] and maps [n, …, H, W] through matrices [n, 2, 3]; gaps are black, and unknown in maps."""
    height, width = images.shape[-2:]
    index = origins(transforms, height, width, images.device)
    if maps is None:
        return taken(images, index, 0), None
    gap = IGNORED if maps.dtype == torch.uint8 else torch.nan
    return taken(images, index, 0), taken(maps.reshape(len(maps), -1, height, width), index, gap).view(maps.shape)


def origins(transforms: NDArray[np.float64], height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel comes from: indices [n, H · W] into images with a margin of one pixel, where all gaps lead."""
    # Products and sums apart, since fused ones round otherwise, which would depend on the place in the batch.
    across, down = (torch.arange(side, device=device) - (side - 1) / 2 for side in (width, height))
    (xx, xy, x), (yx, yy, y) = (
        [per_image(transforms[:, row, column], device)[:, 0] for column in range(3)] for row in (0, 1)
    )
    column = across * xx + (x + (width + 1) / 2) + down[:, None] * xy
    row = across * yx + (y + (height + 1) / 2) + down[:, None] * yy
    row = row.round_().clamp_(0, height + 1).mul_(width + 2)
    return row.add_(column.round_().clamp_(0, width + 1)).long().flatten(1)  # exact in float32 up to 4094 × 4094


def taken(images: Tensor, index: Tensor, gap: float) -> Tensor:
    """The pixels at these places of [n, C, H, W] with a margin."""
    margin = F.pad(images, (1, 1, 1, 1), value=gap).flatten(2)
    return margin.gather(2, index[:, None].expand(-1, images.shape[1], -1)).view(images.shape)
