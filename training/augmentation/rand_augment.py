"""RandAugment and TrivialAugment: operations and magnitudes chosen at random, with those of torchvision."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor
from torchvision.transforms.v2.functional import autocontrast, equalize

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.augmentation import colours, warp
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform, per_image
from vitrail.training.augmentation.groups import in_groups


@dataclass(frozen=True)
class Ranges:
    """The magnitude of each kind of operation at level 1."""

    shear: float
    across: float  # pixels
    down: float
    degrees: float
    enhance: float  # how far a factor is from 1
    bits: float  # that are lost

    def factors(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 + levels * self.enhance


class RandomOperations(BatchTransform):
    """Applies `num_ops` operations to each image, one after the other; images with the same one are changed at once."""

    num_ops: int

    @abstractmethod
    def levels(self, draws: Draws) -> NDArray[np.float64]:
        """[B], from 0 to 1."""

    @abstractmethod
    def ranges(self, height: int, width: int) -> Ranges: ...

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        for turn in range(self.num_ops):
            images, maps = self.operated(images, maps, draws.fork(turn))
        return images, maps

    def operated(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        """One operation an image."""
        ranges = self.ranges(*images.shape[-2:])
        choices, signs = draws.uniform(2).T
        levels = self.levels(draws.fork(0)) * np.where(signs < 0.5, -1, 1)
        changes = [partial(changed, operation, levels, ranges) for operation in OPERATIONS.values()]
        return in_groups(images, maps, (choices * len(changes)).astype(np.int64), changes)


class RandAugment(RandomOperations):
    """`num_ops` of 14 operations, one of which changes nothing, all with the same magnitude.

    Args:
        num_ops: operations an image.
        magnitude: their strength, from 0 to `num_magnitude_bins` - 1.
        num_magnitude_bins: the number of magnitudes; 11 gives them the scale of timm.
        mstd: standard deviation of the magnitude, as of timm's `rand-m9-mstd0.5`; 0 is always the same.
    """

    def __init__(self, num_ops: int = 2, magnitude: float = 9, num_magnitude_bins: int = 31, mstd: float = 0.0) -> None:
        super().__init__()
        if not 0 <= magnitude < num_magnitude_bins:
            raise UsageError(
                f"a magnitude of {num_magnitude_bins} is from 0 to {num_magnitude_bins - 1}, not {magnitude}"
            )
        self.num_ops, self.magnitude, self.num_magnitude_bins, self.mstd = num_ops, magnitude, num_magnitude_bins, mstd

    def levels(self, draws: Draws) -> NDArray[np.float64]:
        magnitudes = np.full(len(draws.keys), float(self.magnitude))
        if self.mstd:
            magnitudes += self.mstd * ndtri(draws.uniform(1)[:, 0])
        return (magnitudes / (self.num_magnitude_bins - 1)).clip(0, 1)

    def ranges(self, height: int, width: int) -> Ranges:
        most = 150 / 331
        return Ranges(shear=0.3, across=most * width, down=most * height, degrees=30, enhance=0.9, bits=4)


class TrivialAugment(RandomOperations):
    """One operation an image, with a random magnitude: TrivialAugment Wide.

    Args:
        num_magnitude_bins: the number of magnitudes.
    """

    num_ops = 1

    def __init__(self, num_magnitude_bins: int = 31) -> None:
        super().__init__()
        if num_magnitude_bins < 2:
            raise UsageError(f"TrivialAugment chooses from at least 2 magnitudes, not {num_magnitude_bins}")
        self.num_magnitude_bins = num_magnitude_bins

    def levels(self, draws: Draws) -> NDArray[np.float64]:
        return np.floor(draws.uniform(1)[:, 0] * self.num_magnitude_bins) / (self.num_magnitude_bins - 1)

    def ranges(self, height: int, width: int) -> Ranges:
        return Ranges(shear=0.99, across=32, down=32, degrees=135, enhance=0.99, bits=6)


# Images, maps, and levels [n] from -1 to 1; colours take no notice of the sign where they have one direction.
Operation = Callable[[Tensor, Tensor | None, NDArray[np.float64], Ranges], Augmented]
Magnitudes = Callable[[Ranges, NDArray[np.float64]], NDArray[np.float64]]


def changed(
    operation: Operation,
    levels: NDArray[np.float64],
    ranges: Ranges,
    images: Tensor,
    maps: Tensor | None,
    positions: NDArray[np.int64],
) -> Augmented:
    return operation(images, maps, levels[positions], ranges)


def moving(matrices: warp.Matrices, magnitudes: Magnitudes) -> Operation:
    def operation(images: Tensor, maps: Tensor | None, levels: NDArray[np.float64], ranges: Ranges) -> Augmented:
        return warp.warped(images, maps, matrices(magnitudes(ranges, levels), *images.shape[-2:]))

    return operation


def colouring(change: Callable[[Tensor, Tensor], Tensor], magnitudes: Magnitudes) -> Operation:
    def operation(images: Tensor, maps: Tensor | None, levels: NDArray[np.float64], ranges: Ranges) -> Augmented:
        return change(images, per_image(magnitudes(ranges, levels), images.device)), maps

    return operation


def without_magnitude(change: Callable[[Tensor], Tensor]) -> Operation:
    return lambda images, maps, levels, ranges: (change(images), maps)


OPERATIONS: dict[str, Operation] = {
    "Identity": without_magnitude(lambda images: images),
    "ShearX": moving(warp.shear_x, lambda ranges, levels: levels * ranges.shear),
    "ShearY": moving(warp.shear_y, lambda ranges, levels: levels * ranges.shear),
    "TranslateX": moving(warp.translate_x, lambda ranges, levels: levels * ranges.across),
    "TranslateY": moving(warp.translate_y, lambda ranges, levels: levels * ranges.down),
    "Rotate": moving(warp.rotate, lambda ranges, levels: levels * ranges.degrees),
    "Brightness": colouring(colours.brightness, Ranges.factors),
    "Color": colouring(colours.saturation, Ranges.factors),
    "Contrast": colouring(colours.contrast, Ranges.factors),
    "Sharpness": colouring(colours.sharpness, Ranges.factors),
    "Posterize": colouring(colours.posterize, lambda ranges, levels: 8 - np.round(abs(levels) * ranges.bits)),
    "Solarize": colouring(colours.solarize, lambda ranges, levels: 255 * (1 - abs(levels))),
    "AutoContrast": without_magnitude(autocontrast),
    "Equalize": without_magnitude(equalize),
}
