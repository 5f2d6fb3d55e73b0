"""A source of images of one's own: stripes, drawn as they are needed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data import ImageSource


@dataclass(frozen=True)
class Stripes(ImageSource):
    """Noisy stripes across or down; the fields are options in YAML."""

    count: int = 60
    side: int = 16

    def columns(self) -> dict[str, list[str]]:
        numbers = range(self.count)
        return {"path": [f"stripes {i}" for i in numbers], "label": ["across" if i % 2 else "down" for i in numbers]}

    def image(self, index: int) -> NDArray[np.uint8]:
        random = np.random.default_rng(index)
        stripes = np.arange(self.side) // 2 % 2 * 200
        down = np.tile(stripes, (self.side, 1)) + random.integers(0, 56, (self.side, self.side))
        return (down.T if index % 2 else down).astype(np.uint8)
