"""Changes of colours, as torchvision defines them, with a factor of its own for each image [n, 1, 1, 1]."""

# Arithmetic is of whole numbers, or elementwise with products and sums apart: fused operations and sums of fractions
# round otherwise in other batches.

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

FURTHEST = 6  # pixels that a blur takes from on each side: three standard deviations of 2


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """0 is black, 1 the image."""
    return images.float().mul_(factors).clamp_(max=255).to(torch.uint8)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """0 is the mean of the image's grey, 1 the image."""
    sums = grey(images).to(torch.uint8).sum((1, 2, 3), keepdim=True, dtype=torch.int64)
    return blended(images, sums.float().mul_(1 / (images.shape[2] * images.shape[3])), factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """0 is grey, 1 the image."""
    return blended(images, grey(images), factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """0 is smoothed, 1 the image, 2 sharper; the outermost pixels stay."""
    if min(images.shape[-2:]) < 3:
        return images
    pixels = images.to(torch.int16)
    centres = pixels[..., 1:-1, 1:-1]
    rows = (pixels[..., :-2, :] + pixels[..., 1:-1, :]).add_(pixels[..., 2:, :])
    sums = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).add_(centres * 4)
    out = images.clone()
    out[..., 1:-1, 1:-1] = blended(centres, sums.float().div_(13).round_(), factors)
    return out


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Only the highest bits stay."""
    lost = torch.bitwise_left_shift(torch.ones_like(bits, dtype=torch.int32), 8 - bits.to(torch.int32)) - 1
    return images & (255 - lost).to(torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Values of at least the threshold are inverted."""
    bright = (images >= thresholds.ceil().to(torch.uint8)).to(torch.uint8)
    return images ^ bright.neg_()  # 1 becomes 255, all bits


def hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Hues are turned by a share of the circle; saturation and value stay."""
    pixels = images.to(torch.int16)
    red, green, blue = pixels.split(1, dim=1)
    value = pixels.amax(dim=1, keepdim=True)
    chroma = value - pixels.amin(dim=1, keepdim=True)
    distance = torch.where(value == red, green - blue, torch.where(value == green, blue - red, red - green))
    primary = torch.where(value == red, 0, torch.where(value == green, 2, 4))
    sixths = primary + distance / chroma.clamp(min=1) + 6 * shifts
    # A channel falls from the value with the distance of the hue from its own: HSV to RGB without cases.
    place = (sixths + torch.tensor([5, 3, 1], device=images.device).view(1, 3, 1, 1)).remainder_(6)
    fall = torch.minimum(place, 4 - place).clamp_(0, 1)
    return (value - chroma * fall).round_().to(torch.uint8)


def blur(images: Tensor, deviations: NDArray[np.float64]) -> Tensor:
    """Each image by its own Gaussian [n], which is cut off beyond FURTHEST pixels; borders are mirrored."""
    pixels = images.float()
    for axis in (2, 3):
        side = images.shape[axis]
        reach = min(FURTHEST, side - 1)
        weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviations[:, None] ** 2))
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        factors = torch.from_numpy(weights).to(images.device).T[:, :, None, None, None]  # [taps, n, 1, 1, 1]
        around = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        padded = F.pad(pixels, around, mode="reflect")
        pixels = torch.zeros_like(pixels)
        for tap, factor in enumerate(factors):
            pixels.add_(padded.narrow(axis, tap, side) * factor)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """float32 [n, 1, H, W], whole numbers."""
    red, green, blue = images.split(1, dim=1)
    out: Tensor = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).floor_()
    return out


def blended(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """From others at 0, over the images at 1, and beyond."""
    return images.float().mul_(factors).add_(others * (1 - factors)).clamp_(0, 255).to(torch.uint8)
