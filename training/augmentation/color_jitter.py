"""Random brightness, contrast, saturation and hue, in random order."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.augmentation import colours
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform, between, per_image
from vitrail.training.augmentation.groups import in_groups, unchanged

Jitter = float | tuple[float, float]  # how far from the image on both sides, or the smallest and largest factor


class ColorJitter(BatchTransform):
    """Changes colours by random factors, in another order for each image.

    Args:
        brightness: 0.4 is a factor from 0.6 to 1.4; (0.5, 2) from 0.5 to 2.
        contrast: the same.
        saturation: the same.
        hue: 0.1 is a turn by up to a tenth of the circle; (0, 0.5) by up to half of it, one way.
    """

    def __init__(
        self, brightness: Jitter = 0.0, contrast: Jitter = 0.0, saturation: Jitter = 0.0, hue: Jitter = 0.0
    ) -> None:
        super().__init__()
        self.ranges = {
            "brightness": checked_range("brightness", brightness),
            "contrast": checked_range("contrast", contrast),
            "saturation": checked_range("saturation", saturation),
            "hue": checked_range("hue", hue, centre=0.0, least=-0.5, most=0.5),
        }

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        order = draws.fork(0).uniform(len(CHANGES)).argsort(axis=1)
        uniform = draws.fork(1).uniform(len(CHANGES))
        changes = [
            unchanged if span is None else partial(jittered, CHANGES[name], between(*span, uniform[:, number]))
            for number, (name, span) in enumerate(self.ranges.items())
        ]
        for turn in range(len(CHANGES)):
            images, maps = in_groups(images, maps, order[:, turn], changes)
        return images, maps


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": colours.brightness,
    "contrast": colours.contrast,
    "saturation": colours.saturation,
    "hue": colours.hue,
}


def jittered(
    change: Callable[[Tensor, Tensor], Tensor],
    factors: NDArray[np.float64],
    images: Tensor,
    maps: Tensor | None,
    positions: NDArray[np.int64],
) -> Augmented:
    return change(images, per_image(factors[positions], images.device)), maps


def checked_range(
    name: str, jitter: Jitter, centre: float = 1.0, least: float = 0.0, most: float = float("inf")
) -> tuple[float, float] | None:
    """None if nothing is changed."""
    low, high = jitter if isinstance(jitter, tuple) else (max(least, centre - jitter), centre + jitter)
    if not least <= low <= high <= most:
        raise UsageError(f"{name} changes colours by factors from {least} to {most}, not {jitter}")
    return None if low == high == centre else (low, high)
