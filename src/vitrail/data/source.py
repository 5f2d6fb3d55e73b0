"""What every source of images gives: class names, three parts, canvases."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents
from vitrail.data.memory import empty_canvases
from vitrail.errors import DamagedImages
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.tasks.task import TaskName

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
AT_A_TIME = 512  # images decoded together, where none of them is kept


@dataclass(frozen=True)
class Samples:
    """Canvases of one part and what they show, in a fixed order."""

    images: NDArray[np.uint8]  # [N, size, size, 3]
    # One class each, int64 [N]; 1 for each label that an image has, uint8 [N, K]; values, float32 [N, K]; or for each
    # pixel its class, uint8 [N, size, size], 255 where that is not told.
    labels: NDArray[Any]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def canvases_of(images: Iterable[Image.Image], count: int, rule: InputRule) -> NDArray[np.uint8]:
    """The canvases of so many RGB images, one in memory at a time."""
    canvases = empty_canvases(count, rule)
    for place, image in enumerate(images):
        canvases[place] = to_canvas(image, rule)
    return canvases


class Source(Protocol):
    """Somewhere that known images come from; listing is cheap, reading a part decodes it."""

    name: str
    classes: tuple[str, ...]  # or the names of the values

    @property
    def task(self) -> TaskName: ...

    @property
    def fingerprint(self) -> str:
        """Of the contents of every image and target of the set, hexadecimal."""
        ...

    def labels(self, part: Part) -> NDArray[np.int64]:
        """What parts and subsets keep in proportion, [N]: the class, where each image has one."""
        ...

    def contents(self, part: Part) -> Contents:
        """What the images of a part are by content, in its order; none is decoded for that."""
        ...

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        """The images of a part, or those of them that are chosen."""
        ...

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        """One image as it is, uint8 [height, width, 3], upright and RGB, of its own size."""
        ...


def damaged_images(source: Source, part: Part, rule: InputRule) -> tuple[str, ...]:
    """What is wrong with the images of a part; all are decoded, and only so many at a time are in memory."""
    count = len(source.labels(part))
    faults: list[str] = []
    for begin in range(0, count, AT_A_TIME):
        try:
            source.read(part, rule, np.arange(begin, min(begin + AT_A_TIME, count)))
        except DamagedImages as damaged:
            faults += damaged.faults
    return tuple(faults)
