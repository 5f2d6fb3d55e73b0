"""Folders of images, one a class: with train, val and test folders, or unsplit and split here."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents, keys_of, text_keys
from vitrail.data.file_digests import FileDigests
from vitrail.data.memory import empty_canvases
from vitrail.data.source import PARTS, Part, Samples
from vitrail.data.subsets import TEST_SHARE, VAL_SHARE, held_out, three_parts
from vitrail.errors import DamagedImages, DataError, ImageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import EXTENSIONS, decode, fit
from vitrail.tasks.task import TaskName

SPELLINGS: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}


class Folders:
    """A folder with `train`, and optionally `val` and `test`, in it; or with one folder a class."""

    task: TaskName = "classification"

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        if not self.path.is_dir():
            raise DataError(f"there is no folder of images at {self.path}")
        listed = {part: folder for part in PARTS if (folder := self._folder(part))}
        unsplit = listed.get("train", self.path)
        self.classes = class_names(unsplit)
        self._files = {
            part: list_images(folder, self.classes) for part, folder in (listed or {"train": unsplit}).items()
        }
        self._digests = FileDigests(self.path)
        self._check()
        self._split(seed)

    @cached_property
    def fingerprint(self) -> str:
        """Of name and content of every file; changes if an image is added, removed, moved, renamed or edited."""
        names = sorted(name for part in PARTS for name in self._names(part))
        return sha256(os.fsencode("\0".join(names)) + self._digests.of(names).tobytes()).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return np.array([label for _, label in self._files[part]], np.int64)

    def contents(self, part: Part) -> Contents:
        targets = text_keys(self.classes)[self.labels(part)]
        return Contents(self._names(part), keys_of(self._digests.of(self._names(part))), targets)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        pairs = self._files[part] if chosen is None else [self._files[part][i] for i in chosen]
        files = [file for file, _ in pairs]
        labels = np.array([label for _, label in pairs], np.int64)
        return Samples(read_canvases(files, rule), labels, names_below(self.path, files))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        labels = self.labels(part)
        return labels if chosen is None else labels[chosen]

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return read_whole(self._files[part][index][0], least)

    def file(self, part: Part, index: int) -> Path | None:
        return self._files[part][index][0]

    def encoded(self, part: Part, index: int) -> bytes | None:
        return self._files[part][index][0].read_bytes()

    def _names(self, part: Part) -> tuple[str, ...]:
        return names_below(self.path, [file for file, _ in self._files[part]])

    def _folder(self, part: Part) -> Path | None:
        return next((folder for name in SPELLINGS[part] if (folder := self.path / name).is_dir()), None)

    def _check(self) -> None:
        if len(self.classes) < 2:
            names = f"only one class, '{self.classes[0]}'" if self.classes else "no class folders"
            raise DataError(f"{self.path} has {names}: make one folder for each class, with its images inside")
        present = {label for _, label in self._files["train"]}
        empty = [name for label, name in enumerate(self.classes) if label not in present]
        if empty:
            raise DataError(f"no images of class {', '.join(repr(name) for name in empty)} in {self.path}")

    def _split(self, seed: int) -> None:
        """Cut the parts without a folder from the training images."""
        unsplit = self._files["train"]
        wanted = {"val", "test"} - self._files.keys()
        least = min(np.bincount(self.labels("train")))
        if least < 1 + len(wanted):
            rare = self.classes[int(np.bincount(self.labels("train")).argmin())]
            raise DataError(f"class '{rare}' has {least} image(s) to split; it needs at least {1 + len(wanted)}")
        if wanted == {"val", "test"}:
            parts = three_parts(self.labels("train"), seed)
        elif wanted:
            missing: Part = "val" if "val" in wanted else "test"
            rest, out = held_out(self.labels("train"), VAL_SHARE if missing == "val" else TEST_SHARE, seed)
            parts = {"train": rest, missing: out}
        else:
            return
        self._files |= {part: [unsplit[i] for i in indices] for part, indices in parts.items()}


def names_below(root: Path, files: Iterable[Path]) -> tuple[str, ...]:
    """Like `file.relative_to(root).as_posix()` in a tenth of the time, which for 60,000 files was seconds."""
    start = "" if str(root) == "." else f"{root}{os.sep}"
    return tuple(str(file).removeprefix(start).replace(os.sep, "/") for file in files)


def class_names(folder: Path) -> tuple[str, ...]:
    """The sub-folders, sorted by name; their order is the order of the classes."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def list_images(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Every image below the class folders, with its label; a folder of an unknown class is an error."""
    unknown = sorted(set(class_names(folder)) - set(classes))
    if unknown:
        raise DataError(f"{folder} has folders of classes that are not trained: {', '.join(unknown)}")
    return [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in EXTENSIONS and file.is_file()
    ]


def read_whole(file: Path, least: int | None) -> NDArray[np.uint8]:
    return np.array(decode(file.read_bytes(), least))


def read_canvases(files: list[Path], rule: InputRule) -> NDArray[np.uint8]:
    """Decode every file once, in parallel; one error names all damaged files."""
    canvases = empty_canvases(len(files), rule)
    faults: list[str] = []

    def read(index: int) -> None:
        try:
            canvases[index] = fit(files[index].read_bytes(), rule)
        except ImageError as fault:
            faults.append(f"{files[index]}: {fault}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(files))))
    if faults:
        raise DamagedImages(faults)
    return canvases
