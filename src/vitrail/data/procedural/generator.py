"""Sets whose images are drawn when they are read, from seed, part and index alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.draws import Draws
from vitrail.data.source import PARTS, Part, Samples, canvases_of
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName

COUNTS: dict[Part, int] = {"train": 20_000, "val": 5_000, "test": 5_000}
AT_A_TIME = 512  # images drawn together, at most
# Images drawn together when one is asked for, and kept: pathfinder's take 40 times as long one by one. All of a set are
# 30 MB at 32 pixels.
BLOCK = 32

Grey = NDArray[np.uint8]  # [B, side, side]


@dataclass(frozen=True)
class Generator:
    """How the images of a set are drawn; whoever changes what is drawn raises the version."""

    name: str
    version: int
    classes: tuple[str, ...]
    draw: Callable[[Draws, NDArray[np.int64]], Grey]  # of the labels [B]


class Procedural:
    """Every class equally often. The random numbers of an image are its own, so that it is the same in every batch."""

    task: TaskName = "classification"
    width = None
    edges = 0

    def __init__(self, generator: Generator, seed: int = 0) -> None:
        self.generator = generator
        self.name = generator.name
        self.classes = generator.classes
        self._digest = sha256(f"{generator.name} {generator.version} {seed}".encode()).hexdigest()
        self._blocks: dict[tuple[Part, int], Grey] = {}
        self._stream = int(self._digest[:15], 16)

    @property
    def fingerprint(self) -> str:
        """Of what determines the images: drawing them all would take as long as reading them."""
        return self._digest

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self._labels(np.arange(COUNTS[part]))

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return None

    def contents(self, part: Part) -> Contents:
        """The key of an image is that of its random numbers, which are no other image's."""
        indices = np.arange(COUNTS[part])
        keys = self._draws(part, indices).keys.view(np.int64)
        return Contents(names_of(part, indices), keys, row_keys(self._labels(indices)))

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = np.arange(COUNTS[part]) if chosen is None else chosen
        images = (Image.fromarray(grey).convert("RGB") for grey in self._drawn(part, indices))
        return Samples(canvases_of(images, len(indices), rule), self._labels(indices), names_of(part, indices))

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        block, place = divmod(index, BLOCK)
        if (part, block) not in self._blocks:
            begin = BLOCK * block
            drawn = self._drawn(part, np.arange(begin, min(begin + BLOCK, COUNTS[part])))
            self._blocks[part, block] = np.stack(list(drawn))
        return np.repeat(self._blocks[part, block][place, ..., None], 3, axis=2)

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self._labels(np.arange(COUNTS[part]) if chosen is None else chosen)

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None

    def _drawn(self, part: Part, indices: NDArray[np.int64]) -> Iterator[Grey]:
        for begin in range(0, len(indices), AT_A_TIME):
            block = indices[begin : begin + AT_A_TIME]
            yield from self.generator.draw(self._draws(part, block), self._labels(block))

    def _draws(self, part: Part, indices: NDArray[np.int64]) -> Draws:
        return Draws.of(self._stream, PARTS.index(part), indices)

    def _labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return indices % len(self.classes)


def names_of(part: Part, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{part} {i}" for i in indices)
