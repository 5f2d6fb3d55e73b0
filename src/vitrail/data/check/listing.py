"""The images to check: those of a source, or of class folders that are not yet a source."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data import open_source
from vitrail.data.file_tree import files_and_links_to_nothing, folders_in
from vitrail.data.items import SPELLINGS
from vitrail.data.source import PARTS, Part, Source
from vitrail.errors import DataError, UsageError
from vitrail.tasks.task import TaskName


@dataclass(frozen=True, slots=True)
class Item:
    """One image, and where it is found."""

    name: str
    part: Part
    index: int  # in its part
    label: int  # among the classes, or the stratum of a task without one class an image
    file: Path | None


@dataclass(frozen=True, eq=False)
class Listing:
    """All images of a set in the order of its parts; where `fit` cannot open it, those that its folders show."""

    path: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    task: TaskName = "classification"
    source: Source | None = None
    refusal: str = ""  # of `fit`, where there is no source

    @property
    def folder(self) -> Path:
        """Where the names of its files start."""
        return folder_of(self.path)

    def class_of(self, item: Item) -> str:
        return self.classes[item.label] if self.task == "classification" and self.classes else ""


def list_set(path: str, seed: int) -> Listing:
    """The images of the set that `fit` finds at this path, or what it would have to find them in."""
    try:
        return of_source(path, open_source(path, seed))
    except DataError as fault:
        if not Path(path).exists():
            raise UsageError(str(fault)) from fault
        refusal = str(fault)
    try:
        return of_folders(path, refusal)
    except DataError:  # a link to nothing, a folder that cannot be read
        return Listing(path, (), (), refusal=refusal)


def of_source(path: str, source: Source) -> Listing:
    items: list[Item] = []
    for part in PARTS:
        labels = source.labels(part).tolist()
        files = [source.file(part, index) for index in range(len(labels))]
        names = names_of(source, part, folder_of(path), files)
        rows = zip(names, labels, files, strict=True)
        items += [Item(name, part, index, label, file) for index, (name, label, file) in enumerate(rows)]
    return Listing(path, tuple(items), source.classes, source.task, source)


def folder_of(path: str) -> Path:
    return Path(path) if Path(path).is_dir() else Path(path).parent


def names_of(source: Source, part: Part, root: Path, files: list[Path | None]) -> Sequence[str]:
    """Without hashing files, which may be unreadable."""
    named = [file for file in files if file is not None]
    return names_below(root, named) if len(named) == len(files) else source.contents(part).names


def of_folders(path: str, refusal: str) -> Listing:
    """What lies in class folders, however few; all of it counts as training images unless parts have folders."""
    root = Path(path)
    if not root.is_dir():
        return Listing(path, (), (), refusal=refusal)
    parts = {part: folder for part in PARTS for name in SPELLINGS[part] if (folder := root / name).is_dir()} or {
        "train": root
    }
    classes = tuple(sorted({name for folder in parts.values() for name in folders_in(folder)}))
    items: list[Item] = []
    for part, folder in parts.items():
        there = [(label, folder / name) for label, name in enumerate(classes) if (folder / name).is_dir()]
        pairs = [(file, label) for label, inside in there for file in image_files(inside)]
        names = names_below(root, [file for file, _ in pairs])
        rows = zip(names, pairs, strict=True)
        items += [Item(name, part, index, label, file) for index, (name, (file, label)) in enumerate(rows)]
    return Listing(path, tuple(items), classes, refusal=refusal)


def image_files(folder: Path) -> list[Path]:
    """The images below a folder, without links to nothing, because of which `fit` refuses it."""
    names, _ = files_and_links_to_nothing(folder)
    return sorted(folder / name for name in names)


def names_below(root: Path, files: Iterable[Path]) -> tuple[str, ...]:
    """Like `file.relative_to(root).as_posix()` in a tenth of the time, which for 60,000 files was seconds."""
    start = "" if str(root) == "." else f"{root}{os.sep}"
    return tuple(str(file).removeprefix(start).replace(os.sep, "/") for file in files)


def counts(listing: Listing) -> dict[Part, NDArray[np.int64]]:
    """The number of images of each class in each part; of a task without classes, of each part alone."""
    several = len(listing.classes) if listing.task == "classification" else 1
    found = {part: np.zeros(max(1, several), np.int64) for part in PARTS}
    for item in listing.items:
        found[item.part][item.label if listing.task == "classification" else 0] += 1
    return found
