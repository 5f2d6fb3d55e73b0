"""Decoded images shared by the runs of a worker, whose subsets are nested; and small samples of a source."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data import Part, Samples, Source
from vitrail.data.contents import Contents
from vitrail.data.forms import Canvas, Form
from vitrail.data.image_store import ImageStore
from vitrail.data.source import PARTS, with_mean_1
from vitrail.data.subsets import nested_subset
from vitrail.images.canvas import InputRule
from vitrail.own_class import Plain
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule


class CachedSource:
    """A source that decodes each of its images at most once."""

    def __init__(self, source: Source) -> None:
        self.source, self.name, self.classes = source, source.name, source.classes
        self.task, self.width, self.edges = source.task, source.width, source.edges
        self._cache: dict[tuple[Part, InputRule], tuple[Samples, NDArray[np.int64]]] = {}

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return self.source.weights(part)

    def contents(self, part: Part) -> Contents:
        return self.source.contents(part)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        count = len(self.labels(part))
        indices = np.arange(count) if chosen is None else chosen
        cached, position = self._cache.get((part, rule), (None, np.full(count, -1)))  # of each image in `cached`
        missing = indices[position[indices] < 0]
        if len(missing) or cached is None:
            new = self.source.read(part, rule, missing)
            position[missing] = np.arange(len(missing)) + (len(cached) if cached else 0)
            cached = concatenated(cached, new) if cached else new
            self._cache[part, rule] = cached, position
        return take(cached, position[indices])

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return self.source.whole(part, index, least)

    def file(self, part: Part, index: int) -> Path | None:
        return self.source.file(part, index)

    def encoded(self, part: Part, index: int) -> bytes | None:
        return self.source.encoded(part, index)

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self.source.targets(part, rule, chosen)


class SourceSubset:
    """At most `most` images of every part of a source, with the same shares of classes."""

    def __init__(self, source: Source, most: int) -> None:
        self.source, self.name, self.classes = source, source.name, source.classes
        self.task, self.width, self.edges = source.task, source.width, source.edges
        self.indices = {part: subset_indices(source.labels(part), most) for part in PARTS}

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)[self.indices[part]]

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        weights = self.source.weights(part)
        return None if weights is None else with_mean_1(weights[self.indices[part]])

    def contents(self, part: Part) -> Contents:
        return self.source.contents(part).take(self.indices[part])

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = self.indices[part]
        return self.source.read(part, rule, indices if chosen is None else indices[chosen])

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return self.source.whole(part, int(self.indices[part][index]), least)

    def file(self, part: Part, index: int) -> Path | None:
        return self.source.file(part, int(self.indices[part][index]))

    def encoded(self, part: Part, index: int) -> bytes | None:
        return self.source.encoded(part, int(self.indices[part][index]))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        indices = self.indices[part]
        return self.source.targets(part, rule, indices if chosen is None else indices[chosen])


def subset_indices(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return nested_subset(labels, min(most, len(labels)), seed=0)


def concatenated(one: Samples, other: Samples) -> Samples:
    return Samples(
        np.concatenate([one.images, other.images]),
        np.concatenate([one.labels, other.labels]),
        one.names + other.names,
    )


def take(samples: Samples, indices: NDArray[np.int64]) -> Samples:
    names = tuple(samples.names[index] for index in indices)
    return Samples(samples.images[indices], samples.labels[indices], names)


class CachedDataModule(ImageDataModule):
    """The data of one run, from a source shared with other runs; `crop` is plain data, as in a plan."""

    def __init__(self, source: Source, crop: Plain | None = None, **settings: Any) -> None:
        self._shared = source
        super().__init__(crop=None if crop is None else RandomCrop(**crop), **settings)
        self.workers = 0  # other runs use the other cores, and the processes of a pool may have no children

    def open(self, path: str | Plain, seed: int) -> Source:
        return self._shared

    def decode(self) -> None:
        """Decode all images of the run that no earlier one has decoded."""
        for part in PARTS:
            self.part(part)
        if self.crop is not None:
            self.images("train", self.trained_form("train")).check()

    def store(self, form: Form) -> ImageStore | None:
        """Canvases are shared in memory, by `CachedSource`; images to crop on disk, with all processes."""
        return None if isinstance(form, Canvas) else super().store(form)
