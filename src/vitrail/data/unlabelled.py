"""Images without their labels, for pretraining: of any set, or of a folder that has none."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data import open_source
from vitrail.data.contents import Contents
from vitrail.data.file_tree import IMAGES, entries, files_below, folders_in
from vitrail.data.folders import Folders, part_folders
from vitrail.data.image_files import FileSource
from vitrail.data.items import Items
from vitrail.data.names import NamesBuilder
from vitrail.data.source import PARTS, Part, Samples, Source
from vitrail.data.targets import LabelSets
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule
from vitrail.own_class import Plain
from vitrail.tasks.task import TaskName


def open_unlabelled(path: str | Plain, seed: int) -> "Unlabelled":
    """Any set in the parts that `vitrail fit` would have of it, so that its test images stay unseen."""
    return Unlabelled(open_source(path, seed, with_or_without_classes))


def with_or_without_classes(path: str, seed: int) -> Source:
    """A folder of classes, unless images lie in the folder itself, or it has no two folders."""
    root = Path(path)
    if not root.is_dir():
        return Folders(path, seed)  # which refuses it
    train = root / part_folders(root)["train"]
    has_images = any(IMAGES.has(entry.name) and entry.is_file() for entry in entries(str(train)))
    return ImageFolder(root, seed) if has_images or len(folders_in(train)) < 2 else Folders(path, seed)


class ImageFolder(FileSource):
    """All images below a folder, or below train, val and test folders in it. Unsplit, it has no test part."""

    def __init__(self, path: Path, seed: int) -> None:
        parts = part_folders(path)
        super().__init__(path, list_images(path, parts), seed, str(path))
        if "test" not in parts:
            train, test = self.rows["train"], self.rows["test"]
            self.rows |= {"train": np.sort(np.concatenate([train, test])), "test": test[:0]}


def list_images(path: Path, parts: dict[Part, str]) -> Items:
    names, numbers = NamesBuilder(), []
    for part, folder in parts.items():
        images = files_below(path / folder)
        if not images:
            raise DataError(f"there are no images in {path / folder}")
        names.add(f"{folder}/{image}" if folder else image for image in images)
        numbers.append(np.full(len(images), PARTS.index(part), np.int8))
    listed = np.concatenate(numbers)
    none = LabelSets((), np.empty(0, np.int64), np.zeros(len(listed) + 1, np.int64))
    return Items(names.names(), none, listed)


class Unlabelled:
    """A set without its labels; subsets are still stratified by them, so that they are those of `vitrail fit`."""

    task: TaskName = "classification"
    classes: tuple[str, ...] = ()

    width = None
    edges = 0

    def __init__(self, source: Source) -> None:
        self.source, self.name = source, source.name

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.source.labels(part)

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return None

    def contents(self, part: Part) -> Contents:
        return self.source.contents(part)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        samples = self.source.read(part, rule, chosen)
        return Samples(samples.images, np.zeros(len(samples), np.int64), samples.names)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return self.source.whole(part, index, least)

    def file(self, part: Part, index: int) -> Path | None:
        return self.source.file(part, index)

    def encoded(self, part: Part, index: int) -> bytes | None:
        return self.source.encoded(part, index)

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return np.zeros(len(self.labels(part)) if chosen is None else len(chosen), np.int64)
