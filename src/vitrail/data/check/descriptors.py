"""Thumbnails as vectors whose cosine is near 1 only for the same image: low frequencies, all of equal weight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.scan import SIDE, Thumbnails

GREY, COLOUR = 8, 4  # frequencies each way, of the grey image and of two colour differences
COLOUR_WEIGHT = 0.5
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CONTRAST = 5.0  # levels of standard deviation, below which an image is blank: what it shows is quantised away
CELLS = 4  # each way, of a thumbnail
AT_ONCE = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Descriptors:
    """Unit vectors in two halves: frequencies that mirroring keeps, and those whose sign it flips.

    The cosine of two images is even·even + odd·odd, that of one and the other mirrored even·even - odd·odd.
    """

    even: Floats  # [N, E]
    odd: Floats  # [N, O]
    brightness: Floats  # [N], mean grey level
    has_contrast: NDArray[np.bool_]  # [N]

    def take(self, chosen: NDArray[np.int64]) -> "Descriptors":
        return Descriptors(self.even[chosen], self.odd[chosen], self.brightness[chosen], self.has_contrast[chosen])


def blank(thumbnails: Thumbnails) -> NDArray[np.bool_]:
    """Images of one colour, or nearly."""
    return ~describe(thumbnails).has_contrast


def describe(thumbnails: Thumbnails) -> Descriptors:
    parts = [described(thumbnails[begin : begin + AT_ONCE]) for begin in range(0, max(1, len(thumbnails)), AT_ONCE)]
    return Descriptors(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def described(thumbnails: Thumbnails) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    pixels = thumbnails.astype(np.float32)
    luma = pixels @ LUMA
    planes = [frequencies(luma, GREY)]
    planes += [COLOUR_WEIGHT * frequencies(pixels[..., channel] - luma, COLOUR) for channel in (0, 2)]
    even, odd = (np.concatenate([columns(plane, first) for plane in planes], axis=1) for first in (0, 1))
    length = np.sqrt((even**2).sum(axis=1) + (odd**2).sum(axis=1)).clip(1e-6)[:, None]
    contrast = np.sqrt(pixels.var(axis=(1, 2)).mean(axis=1))
    return even / length, odd / length, luma.mean(axis=(1, 2)), contrast >= CONTRAST


def frequencies(plane: Floats, count: int) -> Floats:
    """The lowest frequencies [N, count, count] without the mean, each times its distance from it.

    Natural images have amplitudes of about 1 / frequency; so weighted, two different ones have a cosine near 0.
    """
    basis = cosines(count)
    weights = np.hypot(*np.meshgrid(np.arange(count), np.arange(count), indexing="ij")).astype(np.float32)
    return (weights * (basis @ plane @ basis.T)).astype(np.float32, copy=False)


def columns(plane: Floats, first: int) -> Floats:
    """Every second column of [N, count, count] from the first on, flat."""
    return plane[:, :, first::2].reshape(len(plane), plane.shape[1] * plane.shape[2] // 2)


def cosines(count: int) -> Floats:
    """The first rows of the orthonormal cosine transform, [count, SIDE]."""
    steps = np.pi * (2 * np.arange(SIDE) + 1) / (2 * SIDE)
    rows: Floats = (np.sqrt(2 / SIDE) * np.cos(np.arange(count)[:, None] * steps)).astype(np.float32)
    rows[0] /= np.sqrt(2)
    return rows


def difference(first: Thumbnails, second: Thumbnails, is_mirrored: NDArray[np.bool_]) -> Floats:
    """The largest difference of each pair, the second mirrored or not: of grey in a pixel, or of colour in a cell."""
    upright = np.where(is_mirrored[:, None, None, None], second[:, :, ::-1], second)
    change = first.astype(np.float32) - upright
    grey = np.abs(change @ LUMA).max(axis=(1, 2))
    # The colours of a JPEG are stored at half size, so those of single pixels say little.
    cells = change.reshape(-1, CELLS, SIDE // CELLS, CELLS, SIDE // CELLS, 3).mean(axis=(2, 4))
    largest: Floats = np.maximum(grey, np.abs(cells).max(axis=(1, 2, 3)))
    return largest
