"""What sets with listed images share: parts, targets, weights and contents; subclasses read the images."""

from abc import ABC, abstractmethod
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, Keys, row_keys
from vitrail.data.items import Items
from vitrail.data.names import Names
from vitrail.data.source import Part, Samples, canvases_of, with_mean_1
from vitrail.data.targets import MapFiles
from vitrail.images.canvas import InputRule

Indices = NDArray[np.int64]


class ListedSource(ABC):
    """A `Source`; `seed` decides the parts that the items leave open. A row is an image's index among the items."""

    name: str
    classes: tuple[str, ...]
    width: int | None = None
    edges: int = 0

    def __init__(self, name: str, items: Items, seed: int, place: str = "") -> None:
        self.name, self.items = name, items
        self.task, self.classes = items.targets.task, items.targets.classes
        self.rows = items.split(seed, place or name)
        self._contents: dict[Part, Contents] = {}

    @abstractmethod
    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.uint8]:
        """[N, size, size, 3]; one error names all images that cannot be read."""

    @abstractmethod
    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        """One image, as in `Source.whole`."""

    @abstractmethod
    def image_keys(self, rows: Indices) -> Keys:
        """By content, as in `Contents.images`."""

    @property
    def fingerprint(self) -> str:
        rows = np.arange(len(self.items.names))
        digest = sha256("\0".join((*self.items.names, *self.classes)).encode("utf-8", "surrogateescape"))
        digest.update(self.image_keys(rows).astype("<i8").tobytes())
        digest.update(self.items.targets.keys(rows).astype("<i8").tobytes())
        return digest.hexdigest()

    def labels(self, part: Part) -> Indices:
        return self.items.targets.strata()[self.rows[part]]

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        weights = self.items.weights
        return None if weights is None else with_mean_1(weights[self.rows[part]])

    def contents(self, part: Part) -> Contents:
        if part not in self._contents:
            rows = self.rows[part]
            names, keys = self.items.names.take(rows), self.items.targets.keys(rows)
            self._contents[part] = Contents(names, self.image_keys(rows), keys)
        return self._contents[part]

    def read(self, part: Part, rule: InputRule, chosen: Indices | None = None) -> Samples:
        rows = self.rows[part] if chosen is None else self.rows[part][chosen]
        return Samples(self.canvases(rows, rule), self.targets(part, rule, chosen), tuple(self.items.names.take(rows)))

    def targets(self, part: Part, rule: InputRule, chosen: Indices | None = None) -> NDArray[Any]:
        rows = self.rows[part] if chosen is None else self.rows[part][chosen]
        return self.items.targets.of(rows, rule)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return self.pixels(int(self.rows[part][index]), least)

    def whole_map(self, part: Part, index: int) -> NDArray[Any]:
        assert isinstance(self.items.targets, MapFiles)
        return self.items.targets.whole(int(self.rows[part][index]))

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


class GreySource(ListedSource):
    """Grey images in memory, uint8 [N, H, W]."""

    def __init__(self, name: str, grey: NDArray[np.uint8], items: Items, seed: int, place: str = "") -> None:
        super().__init__(name, items, seed, place)
        self.grey = grey

    @property
    def fingerprint(self) -> str:
        """Of pixels and class numbers."""
        labels = self.items.targets.strata().astype("<i8")
        return sha256(self.grey.tobytes() + labels.tobytes()).hexdigest()

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.uint8]:
        images = (Image.fromarray(self.grey[row]).convert("RGB") for row in rows)
        return canvases_of(images, len(rows), rule)

    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        return np.repeat(self.grey[row][..., None], 3, axis=2)

    def image_keys(self, rows: Indices) -> Keys:
        return row_keys(self.grey[rows])


def numbered(name: str, count: int) -> Names:
    return Names.of(f"{name} {i}" for i in range(count))
