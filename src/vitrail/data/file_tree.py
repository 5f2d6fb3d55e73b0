"""Listing folders without reading a file; links are followed, and loops of them end."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data.names import Names
from vitrail.errors import DataError, first_few
from vitrail.images.decode import EXTENSIONS

Identity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class Kind:
    """The files that a set consists of."""

    name: str  # of one, for people
    format: str  # what the others are not
    extensions: Collection[str]

    def has(self, name: str) -> bool:
        return name[name.rfind(".") :].lower() in self.extensions


IMAGES = Kind("image", "an image format that vitrail reads", EXTENSIONS)


def folders_in(folder: Path) -> tuple[str, ...]:
    """The names of the sub-folders, sorted; hidden ones are left out."""
    return tuple(sorted(entry.name for entry in entries(str(folder)) if not is_broken(entry) and entry.is_dir()))


def files_below(folder: Path, kind: Kind = IMAGES) -> list[str]:
    """The files of a kind in a folder and below, by their names from it, in a fixed order; hidden ones are left out.

    A link to a folder that it is in itself adds nothing; a link to nothing is an error.
    """
    names, broken = files_and_links_to_nothing(folder, kind)
    if broken:
        raise DataError(f"links to what is not there: {first_few(sorted(broken))}")
    return sorted(names, key=lambda name: name.split("/"))


def files_and_links_to_nothing(folder: Path, kind: Kind = IMAGES) -> tuple[list[str], list[str]]:
    """The files of a kind by their names from the folder, and the paths of the links."""
    broken: list[str] = []
    above = frozenset(identity(str(parent)) for parent in folder.absolute().parents)
    return list(walk(str(folder), "", above, broken, kind)), broken


def walk(folder: str, start: str, above: frozenset[Identity], broken: list[str], kind: Kind) -> Iterator[str]:
    here = identity(folder)
    if here in above:
        return
    for entry in entries(folder):
        if is_broken(entry):
            broken.append(entry.path)
        elif entry.is_dir():
            yield from walk(entry.path, f"{start}{entry.name}/", above | {here}, broken, kind)
        elif kind.has(entry.name):
            yield start + entry.name


def identity(folder: str) -> Identity:
    with readable(folder):
        status = os.stat(folder)
        return status.st_dev, status.st_ino


def entries(folder: str) -> list["os.DirEntry[str]"]:
    """What is in a folder and not hidden: `._cat.jpg` of macOS and .ipynb_checkpoints hold no images of a class."""
    with readable(folder), os.scandir(folder) as found:
        return [entry for entry in found if not entry.name.startswith(".")]


def is_broken(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a link to nothing, or to itself."""
    return entry.is_symlink() and not os.path.exists(entry.path)


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """An error of the file system, as one of the data."""
    try:
        yield
    except OSError as fault:
        raise unreadable(path, fault) from fault


def unreadable(path: str | Path, fault: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {fault.strerror}")


def missing_files(root: Path, names: Names) -> NDArray[np.int64]:
    """The indices of names that are no file below `root`.

    Each folder is listed once, which takes a fraction of asking for every file, above all on a network's disk. What
    is there is kept by its hash, 8 bytes a file; only names that no listing has are asked for.
    """
    folders = {name.rpartition("/")[0] for name in names}
    there = np.fromiter((hash(name) for folder in folders for name in files_in(root, folder)), np.int64)
    unlisted = np.flatnonzero(~np.isin(names.hashes(), there))
    return np.array([i for i in unlisted.tolist() if not (root / names[i]).is_file()], np.int64)


def files_in(root: Path, folder: str) -> Iterator[str]:
    """The names, from `root`, of the files in one of its folders; none where it cannot be listed."""
    start = f"{folder}/" if folder else ""
    with suppress(OSError), os.scandir(root / folder) as found:
        for entry in found:
            if not entry.is_symlink() and entry.is_file():
                yield start + entry.name
