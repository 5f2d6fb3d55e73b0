"""Sets of vectors: images at their own shapes as patches, as many as each needs; or vectors of anything else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError

Sides = tuple[int, int]  # width and height
# uint8 [N, H, W, 3], or N of shapes of their own; or N sets of vectors, float32 [T, D]
Images = NDArray[Any] | Sequence[NDArray[Any]]
DISTORTION = 2.0  # how much worse a change of the shape is than as many patches too few


@dataclass(frozen=True)
class Patches:
    """N sets of patches, padded to the longest of them."""

    patches: NDArray[np.uint8]  # [N, T, patch · patch · 3]: rows of pixels, red, green and blue of each
    positions: NDArray[np.int64]  # [N, T, 2]: row and column
    mask: NDArray[np.bool_]  # [N, T], false where it is padded

    def __len__(self) -> int:
        return len(self.patches)


def grid_within(sides: Sides, most: int) -> tuple[int, int]:
    """Rows and columns of the patches of an image: at most so many, and as near to its shape as whole ones can be."""
    width, height = sides
    upright = ((rows, columns) for rows, columns in grids_near(height / width, most))
    lying = ((rows, columns) for columns, rows in grids_near(width / height, most))
    return min({*upright, *lying}, key=lambda grid: misfit(grid, sides, most))


def grids_near(ratio: float, most: int) -> Iterator[tuple[int, int]]:
    """Grids of this ratio of rows to columns but for rounding, by rows."""
    for rows in near(sqrt(most * ratio), most):
        for columns in near(rows / ratio, most // rows):
            yield rows, columns


def near(number: float, most: int) -> tuple[int, int]:
    """The whole numbers below and above, from 1 to the most."""
    lower, upper = (min(max(1, whole), most) for whole in (floor(number), ceil(number)))
    return lower, upper


def misfit(grid: tuple[int, int], sides: Sides, most: int) -> tuple[float, float]:
    """Of the shape and of the number; where these weigh the same, that of the shape. Smaller is better."""
    (rows, columns), (width, height) = grid, sides
    distortion = round(abs(log(columns * height / (rows * width))), 9)
    return round(DISTORTION * distortion + log(most / (rows * columns)), 9), distortion


def patches_of(images: Images, patch: int) -> Patches:
    """Cut images into patches, row by row; sides of images are multiples of the patch."""
    if len(images) == 0:
        raise UsageError("there is no image")
    grids = [grid_of(image.shape, patch) for image in images]
    longest = max(rows * columns for rows, columns in grids)
    patches = np.zeros((len(images), longest, patch * patch * 3), np.uint8)
    positions = np.zeros((len(images), longest, 2), np.int64)
    mask = np.zeros((len(images), longest), np.bool_)
    for index, (image, (rows, columns)) in enumerate(zip(images, grids, strict=True)):
        count = rows * columns
        cut = image.reshape(rows, patch, columns, patch, 3).swapaxes(1, 2)
        patches[index, :count] = cut.reshape(count, -1)
        positions[index, :count] = list(product(range(rows), range(columns)))
        mask[index, :count] = True
    return Patches(patches, positions, mask)


@dataclass(frozen=True)
class Padded:
    """N sets of vectors in their order, padded to the longest of them."""

    vectors: NDArray[np.float32]  # [N, T, D]
    positions: NDArray[np.int64]  # [N, T, 2]: row 0, and the place in the set
    mask: NDArray[np.bool_]  # [N, T], false where it is padded


def padded(sets: Images) -> Padded:
    """Sets of vectors of one width."""
    counts = np.array([len(one) for one in sets])
    places = np.arange(counts.max())
    vectors = np.zeros((len(sets), len(places), sets[0].shape[1]), np.float32)
    for row, one in zip(vectors, sets, strict=True):
        row[: len(one)] = one
    mask = places < counts[:, None]
    return Padded(vectors, np.stack([np.zeros_like(mask, np.int64), mask * places], axis=2), mask)


def images_of(patches: Patches, patch: int) -> Iterator[NDArray[np.uint8]]:
    """The images again, uint8 [H, W, 3] each."""
    for vectors, positions, mask in zip(patches.patches, patches.positions, patches.mask, strict=True):
        rows, columns = (positions[mask].max(axis=0) + 1).tolist()
        cut = vectors[mask].reshape(rows, columns, patch, patch, 3).swapaxes(1, 2)
        yield cut.reshape(rows * patch, columns * patch, 3)


def batch_of(canvases: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Canvases as one array [N, H, W, 3]; those of several shapes as an array of so many arrays."""
    if len({canvas.shape for canvas in canvases}) <= 1:
        return np.stack(canvases)
    batch = np.empty(len(canvases), object)
    batch[:] = canvases
    return batch


def inputs_of(canvases: Images, patch: int | None) -> dict[str, NDArray[Any]]:
    """The inputs of a model file for these canvases, by name; `patch` if images keep their shapes."""
    if canvases[0].dtype == np.float32:
        sets = padded(canvases)
        return {"vectors": sets.vectors, "positions": sets.positions, "mask": sets.mask}
    if patch is None:
        return {"image": np.asarray(canvases)}
    cut = patches_of(canvases, patch)
    return {"patches": cut.patches, "positions": cut.positions, "mask": cut.mask}


def grid_of(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
    height, width = shape[:2]
    if height % patch or width % patch or 0 in shape:
        raise UsageError(f"patches of {patch} do not divide an image of {height}×{width}")
    return height // patch, width // patch
