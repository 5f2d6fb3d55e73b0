"""Folders of images, one a class: with train, val and test folders, or unsplit and split here."""

from pathlib import Path

import numpy as np

from vitrail.data.file_tree import IMAGES, Kind, files_below, folders_in
from vitrail.data.image_files import FileSource
from vitrail.data.items import SPELLINGS, Items
from vitrail.data.names import NamesBuilder
from vitrail.data.source import PARTS, Part
from vitrail.data.targets import Labels
from vitrail.errors import DataError, first_few


class Folders(FileSource):
    """A folder with `train`, and optionally `val` and `test`, in it; or with one folder a class."""

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        path = Path(path)
        if not path.is_dir():
            raise DataError(f"there is no folder of images at {path}")
        super().__init__(path, list_folders(path), seed, str(path))


def list_folders(path: Path, kind: Kind = IMAGES) -> Items:
    """Every file of a kind below the class folders, in the order of parts, classes and names."""
    parts = part_folders(path)
    classes = folders_in(path / parts["train"])
    refuse_classes(path, classes, kind)
    names = NamesBuilder()
    counts = np.zeros((len(parts), len(classes)), np.int64)
    for row, folder in enumerate(parts.values()):
        refuse_unknown(path / folder, classes)
        for column, name in enumerate(classes):
            below = f"{folder}/{name}" if folder else name
            images = files_below(path / below, kind) if (path / below).is_dir() else []
            names.add(f"{below}/{image}" for image in images)
            counts[row, column] = len(images)
        if not counts[row].any():
            raise DataError(f"there are no {kind.name}s in the class folders of {path / folder}")
    refuse_empty(path, classes, counts[[*parts].index("train")], kind)
    labels = np.repeat(np.tile(np.arange(len(classes)), len(parts)), counts.ravel())
    numbers = np.repeat(np.array([PARTS.index(part) for part in parts], np.int8), counts.sum(axis=1))
    return Items(names.names(), Labels(classes, labels), numbers)


def part_folders(path: Path) -> dict[Part, str]:
    """The folder of each part that has one; without any, the whole is for training until it is split."""
    there = {part: name for part in PARTS for name in SPELLINGS[part][::-1] if (path / name).is_dir()}
    if there and "train" not in there:
        raise DataError(f"{path} has a folder '{next(iter(there.values()))}', but none called 'train'")
    return there or {"train": ""}


def refuse_classes(path: Path, classes: tuple[str, ...], kind: Kind) -> None:
    if len(classes) < 2:
        names = f"only one class, '{classes[0]}'" if classes else "no class folders"
        raise DataError(f"{path} has {names}: make one folder for each class, with its {kind.name}s inside")
    if strange := [ascii(name) for name in classes if name != name.encode("utf-8", "ignore").decode()]:
        raise DataError(f"{path} has class folders with names that are no text in UTF-8, rename: {first_few(strange)}")


def refuse_unknown(folder: Path, classes: tuple[str, ...]) -> None:
    if unknown := sorted(set(folders_in(folder)) - set(classes)):
        raise DataError(f"{folder} has folders of classes that are not trained: {first_few(unknown)}")


def refuse_empty(path: Path, classes: tuple[str, ...], counts: np.ndarray, kind: Kind) -> None:
    if empty := [f"'{name}'" for name, count in zip(classes, counts, strict=True) if not count]:
        raise DataError(f"no {kind.name}s of class {first_few(empty)} in {path}")
