"""Images as rows of given splits: what sets of torchvision, Hugging Face and WebDataset shards have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Digests, Keys, digests_of, keys_of
from vitrail.data.image_files import read_canvases
from vitrail.data.items import Items
from vitrail.data.listed import Indices, ListedSource
from vitrail.data.names import Names
from vitrail.data.source import PARTS, Part
from vitrail.data.targets import Labels
from vitrail.errors import DataError, first_few
from vitrail.images.canvas import InputRule
from vitrail.images.decode import as_rgb, decode

Numbers = Mapping[Part, Indices]  # the class of each row of each split


class SplitRows(ListedSource):
    """One class an image. Parts without a split are cut from the training rows, by the seed."""

    def __init__(self, name: str, classes: Sequence[str], numbers: Numbers, seed: int) -> None:
        classes, numbers = trained_classes(name, classes, numbers)
        self._counts = {split: len(rows) for split, rows in numbers.items()}
        counts = [*self._counts.values()]
        self._begins = np.cumsum([0, *counts])
        names = Names.of(chain.from_iterable(self._names(split, count) for split, count in self._counts.items()))
        parts = np.repeat(np.array([PARTS.index(split) for split in numbers], np.int8), counts)
        super().__init__(name, Items(names, Labels(classes, np.concatenate([*numbers.values()])), parts), seed)

    @abstractmethod
    def _image(self, split: Part, row: int) -> bytes | Image.Image:
        """One image, encoded, or decoded where the set has only that."""

    def _names(self, split: Part, count: int) -> Iterable[str]:
        return (f"{split} {row}" for row in range(count))

    def _digests(self, split: Part) -> Digests:
        """Of the images of a split, [N, 32]."""
        with ThreadPoolExecutor() as pool:
            return digests_of(pool.map(lambda row: stored_bytes(self._image(split, row)), range(self._counts[split])))

    def _stored(self, row: int) -> bytes | Image.Image:
        number = int(np.searchsorted(self._begins, row, side="right")) - 1
        return self._image([*self._counts][number], row - int(self._begins[number]))

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.uint8]:
        return read_canvases(lambda index: self._stored(int(rows[index])), self.items.names.take(rows), rule)

    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        image = self._stored(row)
        return np.array(decode(image, least) if isinstance(image, bytes) else as_rgb(image))

    def image_keys(self, rows: Indices) -> Keys:
        return self._keys[rows]

    @cached_property
    def _keys(self) -> Keys:
        return np.concatenate([keys_of(self._digests(split)) for split in self._counts])

    def encoded(self, part: Part, index: int) -> bytes | None:
        image = self._stored(int(self.rows[part][index]))
        return image if isinstance(image, bytes) else None


def trained_classes(name: str, classes: Sequence[str], numbers: Numbers) -> tuple[tuple[str, ...], dict[Part, Indices]]:
    """The classes that have training images, and labels that number these."""
    present = np.unique(numbers["train"])
    if len(present) < 2:
        raise DataError(f"{name} has {len(present)} class(es) with training images; it needs at least two")
    for split, rows in numbers.items():
        if len(unknown := np.setdiff1d(rows, present)):
            shown = first_few([repr(classes[i]) for i in unknown])
            raise DataError(f"{name}: its {split} split has images of classes without training images: {shown}")
    return tuple(classes[i] for i in present), {part: np.searchsorted(present, rows) for part, rows in numbers.items()}


def stored_bytes(image: bytes | Image.Image) -> bytes:
    """What identifies an image: its file, or its pixels and their shape."""
    return image if isinstance(image, bytes) else f"{image.mode} {image.size} ".encode() + image.tobytes()
