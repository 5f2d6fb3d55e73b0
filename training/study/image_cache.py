"""Images decoded once and kept: runs of one worker share them, since subsets are nested; and few of many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data import Part, Samples, Source
from vitrail.data.contents import Contents
from vitrail.data.source import PARTS
from vitrail.data.subsets import nested_subset
from vitrail.images.canvas import InputRule
from vitrail.training.data_module import ImageDataModule


class Kept:
    """A source that decodes each of its images at most once."""

    def __init__(self, source: Source) -> None:
        self.source, self.name, self.classes = source, source.name, source.classes
        self.task = source.task
        self._held: dict[tuple[Part, InputRule], tuple[Samples, NDArray[np.int64]]] = {}

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)

    def contents(self, part: Part) -> Contents:
        return self.source.contents(part)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        count = len(self.labels(part))
        wanted = np.arange(count) if chosen is None else chosen
        held, place = self._held.get((part, rule), (None, np.full(count, -1)))  # place of each image in `held`
        missing = wanted[place[wanted] < 0]
        if len(missing) or held is None:
            new = self.source.read(part, rule, missing)
            place[missing] = np.arange(len(missing)) + (len(held) if held else 0)
            held = joined(held, new) if held else new
            self._held[part, rule] = held, place
        return taken(held, place[wanted])

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        return self.source.whole(part, index)


class Few:
    """Of every part of a source so many images at most, each class in its share."""

    def __init__(self, source: Source, most: int) -> None:
        self.source, self.name, self.classes = source, source.name, source.classes
        self.task = source.task
        self.places = {part: few_of(source.labels(part), most) for part in PARTS}

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)[self.places[part]]

    def contents(self, part: Part) -> Contents:
        return self.source.contents(part).take(self.places[part])

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        places = self.places[part]
        return self.source.read(part, rule, places if chosen is None else places[chosen])

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        return self.source.whole(part, int(self.places[part][index]))


def few_of(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return nested_subset(labels, min(most, len(labels)), seed=0)


def joined(one: Samples, other: Samples) -> Samples:
    return Samples(
        np.concatenate([one.images, other.images]),
        np.concatenate([one.labels, other.labels]),
        one.names + other.names,
    )


def taken(images: Samples, places: NDArray[np.int64]) -> Samples:
    names = tuple(images.names[place] for place in places)
    return Samples(images.images[places], images.labels[places], names)


class CachedImages(ImageDataModule):
    """The data of one run, from a source that many runs share."""

    def __init__(self, source: Source, **settings: Any) -> None:
        self._shared = source
        super().__init__(**settings)

    def open(self, path: str, seed: int) -> Source:
        return self._shared
