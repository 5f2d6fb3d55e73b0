"""What every source of images provides: class names, three parts, canvases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents
from vitrail.data.memory import empty_canvases
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.tasks.task import TaskName

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Targets:
    """The targets of one part, in a fixed order."""

    # One class each, int64 [N]; 1 for each label that an image has, uint8 [N, K]; classes in their order, int64
    # [N, longest], with -1 after the last; values, float32 [N, K]; the class of each pixel, uint8 [N, size, size],
    # with 255 for ignored pixels; or the values of each, float32 [N, K, size, size], with NaN for unknown ones.
    labels: NDArray[Any]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Samples:
    """Canvases of one part with their targets and names."""

    images: NDArray[np.uint8]  # [N, size, size, 3]
    labels: NDArray[Any]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def targets(self) -> Targets:
        return Targets(self.labels, self.names)


def canvases_of(images: Iterable[Image.Image], count: int, rule: InputRule) -> NDArray[np.uint8]:
    """The canvases of `count` RGB images, one image in memory at a time."""
    canvases = empty_canvases(count, rule)
    for index, image in enumerate(images):
        canvases[index] = to_canvas(image, rule)
    return canvases


class Source(Protocol):
    """A set of labelled images; listing is cheap, reading a part decodes it."""

    name: str
    classes: tuple[str, ...]  # or the names of the values

    @property
    def width(self) -> int | None:
        """The numbers in each vector, where it has sets of vectors, float32 [T, width], in place of images."""
        ...

    @property
    def edges(self) -> int:
        """The last numbers of each vector that are its neighbours in a graph, as in `InputRule`; else 0."""
        ...

    @property
    def task(self) -> TaskName: ...

    @property
    def fingerprint(self) -> str:
        """Of the contents of every image and target of the set, hexadecimal."""
        ...

    def labels(self, part: Part) -> NDArray[np.int64]:
        """The strata [N] of splits and subsets: the class, where each image has one."""
        ...

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        """What each image's training loss is multiplied by, [N] with mean 1, if the set says so."""
        ...

    def contents(self, part: Part) -> Contents:
        """The images of a part by content, in order; none is decoded."""
        ...

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        """The images of a part, or the chosen ones."""
        ...

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        """One image at its own shape, uint8 [height, width, 3], upright and RGB.

        With `least` it may be smaller, to be decoded faster; its shorter side still has `least` pixels if it had them.
        """
        ...

    def file(self, part: Part, index: int) -> Path | None:
        """The file of one image, if each image has one of its own."""
        ...

    def encoded(self, part: Part, index: int) -> bytes | None:
        """One image as it is stored, if it is stored as JPEG, PNG or the like."""
        ...

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """As `Samples.labels`, without the images."""
        ...


@runtime_checkable
class DenseSource(Protocol):
    """What a source of dense tasks provides besides."""

    def whole_map(self, part: Part, index: int) -> NDArray[Any]:
        """The targets of one image at its own shape, as `Targets` has them: [height, width], or [K, height, width]."""
        ...


def with_mean_1(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = weights / weights.mean()
    return scaled
