"""Any set with the patches of its images in another order: what convolution knows of images is lost, no pixel is."""

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.source import DenseSource, Part, Samples, Source
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName

SPELLING = re.compile(r"permute-patches-(\d+)x(\d+):(.+)")
ORDER = 2009  # the seed of the permutation: one for all sets, splits and parts


class Permuted:
    """A set whose images are cut into grid × grid patches, moved by one permutation.

    The canvas is cut, so the grid must divide its side, and canvases are squashed: a crop would cut through patches of
    a whole image, and bars would be moved among them. A whole image is cut likewise, at its own size.
    """

    width = None
    edges = 0

    def __init__(self, source: Source, grid: int) -> None:
        if grid < 2:
            raise UsageError(f"a grid of {grid}×{grid} has no patches to permute: choose at least 2x2")
        self.source, self.grid = source, grid
        self.name = f"{source.name}-permuted-{grid}x{grid}"
        self.classes = source.classes
        self.order = np.random.default_rng(ORDER).permutation(grid**2)

    @property
    def task(self) -> TaskName:
        return self.source.task

    @property
    def fingerprint(self) -> str:
        return sha256(f"{self.source.fingerprint} permuted {self.order.tolist()}".encode()).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return self.source.weights(part)

    def contents(self, part: Part) -> Contents:
        """Other images than those of the set: caches of either must not serve the other."""
        contents = self.source.contents(part)
        keys = row_keys(np.stack([contents.images, np.full(len(contents), self.grid)], axis=1))
        return Contents(contents.names, keys, contents.targets)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        if rule.resize != "squash" or rule.size % self.grid:
            raise UsageError(
                f"{self.name} needs --data.resize squash and a --data.size that {self.grid} divides, not "
                f"{rule.resize} and {rule.size}"
            )
        samples = self.source.read(part, rule, chosen)
        return Samples(permuted(samples.images, self.order), self.moved(samples.labels), samples.names)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return self.permuted(self.source.whole(part, index, least), Image.Resampling.BILINEAR)

    def whole_map(self, part: Part, index: int) -> NDArray[Any]:
        assert isinstance(self.source, DenseSource)
        whole = self.source.whole_map(part, index)
        if whole.ndim == 2:
            return self.permuted(whole, Image.Resampling.NEAREST)
        return np.stack([self.permuted(each, Image.Resampling.NEAREST) for each in whole])

    def permuted(self, image: NDArray[Any], resampling: Image.Resampling) -> NDArray[Any]:
        """An image or a map at its own shape; sides that the grid does not divide are resized."""
        sides = [max(1, round(side / self.grid)) * self.grid for side in image.shape[:2]]
        if sides != list(image.shape[:2]):
            image = np.array(Image.fromarray(image).resize((sides[1], sides[0]), resampling))
        whole: NDArray[Any] = permuted(image[None], self.order)[0]
        return whole

    def file(self, part: Part, index: int) -> Path | None:
        """None: no file holds the permuted image."""
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self.moved(self.source.targets(part, rule, chosen))

    def moved(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Maps [N, …, H, W] as the images; other targets stay."""
        if not TASKS[self.task].per_cell:
            return targets
        return permuted(targets.reshape(-1, *targets.shape[-2:]), self.order).reshape(targets.shape)


def permuted(images: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    """Images [N, H, W, …]: patch i of the result is patch order[i], counted along rows."""
    grid = round(len(order) ** 0.5)
    count, height, width, *channels = images.shape
    cut = images.reshape(count, grid, height // grid, grid, width // grid, -1).swapaxes(2, 3)
    patches = cut.reshape(count, grid**2, height // grid, width // grid, -1)[:, order]
    back = patches.reshape(cut.shape).swapaxes(2, 3)
    return back.reshape(count, height, width, *channels)
