"""Pairs of images that show the same after they were encoded again, resized or mirrored, found by their thumbnails."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.descriptors import Descriptors, describe, difference
from vitrail.data.check.scan import SIDE, Thumbnails

# A copy of another size or quality differs by filters and quantisation, the more the fewer pixels it has: both limits
# go with the shorter side of the smaller image. They are the 97 % to 99 % quantiles of copies (JPEG quality 50 to 95,
# half to double size, mirrored, four filters) of CIFAR-10, Fashion-MNIST, photos and drawn shapes.
UNLIKE = 0.8  # / side = 1 - the least cosine of the descriptors…
LEAST_COSINE, MOST_COSINE = 0.95, 0.995  # …within these
GREY_LEVELS, GREY_LEVELS_BY_SIDE = 6, 1000  # of the largest difference of grey in the thumbnails: the sum with / side

BRIGHTNESS = 6.0  # grey levels by which the mean of a copy differs at most
ROWS, COLUMNS = 512, 8192  # of the tiles of the matrix of all pairs
MOST_PAIRS = 1_000_000  # beyond, the images are nearly all alike, as those of a video


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images by their indices, each once, the most similar first."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    is_complete: bool  # or there are more than MOST_PAIRS

    def __len__(self) -> int:
        return len(self.first)


def near_pairs(thumbnails: Thumbnails, sides: NDArray[np.int64]) -> Pairs:
    """Every pair of near duplicates; `sides` are the shorter ones of the images, in pixels.

    All pairs of similar brightness are compared. Images without contrast, and those smaller than a thumbnail, match
    nothing.
    """
    described = describe(thumbnails)
    order = np.argsort(described.brightness, kind="stable")
    order = order[described.has_contrast[order] & (sides[order] >= SIDE)]
    ranked = described.take(order)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    count = 0
    for rows, columns in tiles(ranked.brightness):
        i, j, cosine, is_mirrored = candidates(ranked, rows, columns)
        i, j = order[i], order[j]
        side = np.minimum(sides[i], sides[j])
        alike = cosine >= np.clip(1 - UNLIKE / side, LEAST_COSINE, MOST_COSINE)
        i, j, cosine, is_mirrored, side = (each[alike] for each in (i, j, cosine, is_mirrored, side))
        same = largest_difference(thumbnails, i, j, is_mirrored) <= GREY_LEVELS + GREY_LEVELS_BY_SIDE / side
        found.append((np.minimum(i, j)[same], np.maximum(i, j)[same], cosine[same]))
        count += int(same.sum())
        if count > MOST_PAIRS:
            break
    return sorted_pairs(found, count <= MOST_PAIRS)


def sorted_pairs(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]], is_complete: bool
) -> Pairs:
    if not found:
        none = np.empty(0, np.int64)
        return Pairs(none, none, np.empty(0, np.float32), is_complete)
    first, second, cosine = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((second, first, -cosine))
    return Pairs(first[order], second[order], cosine[order], is_complete)


def tiles(brightness: NDArray[np.float32]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the matrix of all pairs that hold those of similar brightness, which is sorted."""
    for top in range(0, len(brightness), ROWS):
        bottom = min(top + ROWS, len(brightness))
        right = int(np.searchsorted(brightness, brightness[bottom - 1] + BRIGHTNESS, side="right"))
        for left in range(top, right, COLUMNS):
            yield slice(top, bottom), slice(left, min(left + COLUMNS, right))


def candidates(
    ranked: Descriptors, rows: slice, columns: slice
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Pairs whose descriptors are alike, as they are or one mirrored: ranks, cosine, and whether mirrored."""
    odd = ranked.odd[rows] @ ranked.odd[columns].T
    cosine = ranked.even[rows] @ ranked.even[columns].T
    cosine += np.abs(odd)
    down, across = np.nonzero(cosine >= LEAST_COSINE)
    later = down + rows.start < across + columns.start
    down, across = down[later], across[later]
    return down + rows.start, across + columns.start, cosine[down, across], odd[down, across] < 0


def largest_difference(
    thumbnails: Thumbnails, first: NDArray[np.int64], second: NDArray[np.int64], is_mirrored: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The largest difference of grey between the thumbnails of each pair, in levels."""
    differences = np.empty(len(first), np.float32)
    for begin in range(0, len(first), COLUMNS):
        some = slice(begin, begin + COLUMNS)
        differences[some] = difference(thumbnails[first[some]], thumbnails[second[some]], is_mirrored[some])
    return differences
