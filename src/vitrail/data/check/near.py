"""Pairs of images that show the same after they were encoded again, resized or mirrored, found by their thumbnails."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.descriptors import Descriptors, describe, difference
from vitrail.data.check.scan import SIDE, Thumbnails

# A copy of another size or quality differs by filters and quantisation, the more the fewer pixels it has: both limits
# go with the shorter side of the smaller image. They are near the 97 % quantiles of copies (JPEG quality 50 to 95,
# half to double size, mirrored, four filters) of CIFAR-10, Fashion-MNIST, photos and drawn shapes.
UNLIKE = 0.8  # / side = 1 - the least cosine of the descriptors…
LEAST_COSINE, MOST_COSINE = 0.95, 0.995  # …within these
LEVELS, LEVELS_BY_SIDE = 6, 1000  # LEVELS + LEVELS_BY_SIDE / side = the largest difference in the thumbnails

BRIGHTNESS = 6.0  # grey levels by which the mean of a copy differs at most
ROWS, COLUMNS = 512, 8192  # of the tiles of the matrix of all pairs
MOST_PAIRS = 1_000_000  # beyond, the images are nearly all alike, as those of a video

Indices = NDArray[np.int64]
NONE: Indices = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of images by their indices."""

    first: Indices
    second: Indices
    cosine: NDArray[np.float32]
    is_mirrored: NDArray[np.bool_]  # one of the other

    def __len__(self) -> int:
        return len(self.first)

    def take(self, chosen: NDArray[np.bool_]) -> "Candidates":
        return Candidates(self.first[chosen], self.second[chosen], self.cosine[chosen], self.is_mirrored[chosen])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Near duplicates by their indices, each pair once, the most similar first."""

    first: Indices
    second: Indices
    cosine: NDArray[np.float32]
    is_complete: bool  # or there are more than MOST_PAIRS

    def __len__(self) -> int:
        return len(self.first)


def near_pairs(thumbnails: Thumbnails, sides: Indices) -> Pairs:
    """Every pair of near duplicates; `sides` are the shorter ones of the images, in pixels.

    All pairs of similar brightness are compared. Images without contrast, and those smaller than a thumbnail, match
    nothing.
    """
    described = describe(thumbnails)
    order = np.argsort(described.brightness, kind="stable")
    order = order[described.has_contrast[order] & (sides[order] >= SIDE)]
    ranked = described.take(order)
    found: list[Candidates] = []
    count = 0
    for rows, columns in tiles(ranked.brightness):
        some = same(candidates(ranked, rows, columns, order), thumbnails, sides)
        found.append(some)
        count += len(some)
        if count > MOST_PAIRS:
            break
    return sorted_pairs(found, count <= MOST_PAIRS)


def sorted_pairs(found: list[Candidates], is_complete: bool) -> Pairs:
    first = np.concatenate([NONE, *(np.minimum(one.first, one.second) for one in found)])
    second = np.concatenate([NONE, *(np.maximum(one.first, one.second) for one in found)])
    cosine = np.concatenate([NONE.astype(np.float32), *(one.cosine for one in found)])
    order = np.lexsort((second, first, -cosine))
    return Pairs(first[order], second[order], cosine[order], is_complete)


def tiles(brightness: NDArray[np.float32]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the matrix of all pairs that hold those of similar brightness, which is sorted."""
    for top in range(0, len(brightness), ROWS):
        bottom = min(top + ROWS, len(brightness))
        right = int(np.searchsorted(brightness, brightness[bottom - 1] + BRIGHTNESS, side="right"))
        for left in range(top, right, COLUMNS):
            yield slice(top, bottom), slice(left, min(left + COLUMNS, right))


def candidates(ranked: Descriptors, rows: slice, columns: slice, order: Indices) -> Candidates:
    """Pairs whose descriptors are alike, as they are or one mirrored; `order` has the indices of the ranks."""
    odd = ranked.odd[rows] @ ranked.odd[columns].T
    cosine = ranked.even[rows] @ ranked.even[columns].T
    cosine += np.abs(odd)
    down, across = np.nonzero(cosine >= LEAST_COSINE)
    later = down + rows.start < across + columns.start
    down, across = down[later], across[later]
    first, second = order[down + rows.start], order[across + columns.start]
    return Candidates(first, second, cosine[down, across], odd[down, across] < 0)


def same(pairs: Candidates, thumbnails: Thumbnails, sides: Indices) -> Candidates:
    """Those within both limits of a copy."""
    side = np.minimum(sides[pairs.first], sides[pairs.second])
    pairs = pairs.take(pairs.cosine >= np.clip(1 - UNLIKE / side, LEAST_COSINE, MOST_COSINE))
    side = np.minimum(sides[pairs.first], sides[pairs.second])
    differences = np.empty(len(pairs), np.float32)
    for begin in range(0, len(pairs), COLUMNS):
        some = slice(begin, begin + COLUMNS)
        differences[some] = difference(
            thumbnails[pairs.first[some]], thumbnails[pairs.second[some]], pairs.is_mirrored[some]
        )
    return pairs.take(differences <= LEVELS + LEVELS_BY_SIDE / side)
