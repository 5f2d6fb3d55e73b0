"""WebDataset shards, for sets that fit no disk of files: tar archives of images, read at any place, never unpacked."""

import re
from collections.abc import Iterable
from glob import glob
from itertools import chain
from pathlib import Path

import numpy as np

from vitrail.data.contents import Digests
from vitrail.data.items import SPELLINGS
from vitrail.data.shard_index import ShardIndex, read_at, shard_digests, shard_index
from vitrail.data.source import Part
from vitrail.data.split_rows import SplitRows
from vitrail.data.subsets import Indices
from vitrail.errors import CorruptImage, DataError, first_few

CLASSES_FILE = "classes.txt"
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")


class Shards(SplitRows):
    """A folder of shards, one shard, or a pattern of names, as `shards/{train,val}-*.tar`.

    A name that begins with train, val or test says the part, else the name of its folder; shards of no part are split.
    Labels are in members called KEY.cls, or as `label` in KEY.json: numbers, or names of classes. A file classes.txt
    beside the shards names numbered classes, a line each.
    """

    def __init__(self, path: str, seed: int = 0) -> None:
        splits = shards_of_parts(path)
        self._splits = {part: [Shard(file) for file in files] for part, files in splits.items()}
        self._shard_begins = {
            part: np.cumsum([0, *(len(shard.index.sizes) for shard in shards)]) for part, shards in self._splits.items()
        }
        files = list(chain.from_iterable(splits.values()))
        classes, numbers = numbered(files[0].parent / CLASSES_FILE, self._splits)
        super().__init__(name_of(path, files), classes, numbers, seed)

    def _image(self, split: Part, row: int) -> bytes:
        shard, place = self._place(split, row)
        return shard.image(place)

    def _names(self, split: Part, count: int) -> Iterable[str]:
        return chain.from_iterable(map(shard.name, range(len(shard.index.sizes))) for shard in self._splits[split])

    def _digests(self, split: Part) -> Digests:
        return np.concatenate([shard_digests(shard.file, shard.index) for shard in self._splits[split]])

    def _place(self, split: Part, row: int) -> tuple["Shard", int]:
        number = int(np.searchsorted(self._shard_begins[split], row, side="right")) - 1
        return self._splits[split][number], row - int(self._shard_begins[split][number])


class Shard:
    """One archive and its index."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.index: ShardIndex = shard_index(file)

    def name(self, row: int) -> str:
        return f"{self.file.name}/{bytes(self.index.keys[row]).decode('utf-8', 'surrogateescape')}"

    def image(self, row: int) -> bytes:
        """Opened for each image, so that forked workers share no position."""
        try:
            with self.file.open("rb", buffering=0) as file:
                data = read_at(file, int(self.index.offsets[row]), int(self.index.sizes[row]))
        except OSError as fault:
            raise DataError(f"{self.file} cannot be read: {fault.strerror}") from fault
        if len(data) < self.index.sizes[row]:
            raise CorruptImage("the shard ends in the middle of the image")
        return data

    def classes(self, numbers: dict[str, int]) -> Indices:
        """The class of every sample."""
        return np.array([numbers[text] for text in self.texts], np.int64)[self.index.labels]

    @property
    def texts(self) -> list[str]:
        return [bytes(text).decode() for text in self.index.texts]


def is_shards(path: str) -> bool:
    """Whether a path names shards: a tar file, a pattern of these, or a folder of nothing else but files."""
    if path.endswith(".tar"):
        return True
    folder = Path(path)
    return any(folder.glob("*.tar")) and not any(entry.is_dir() for entry in folder.iterdir())


def shards_of_parts(path: str) -> dict[Part, list[Path]]:
    """The shards of each part, sorted by name."""
    if Path(path).is_dir():
        files = sorted(Path(path).glob("*.tar"))
    else:
        found_files = [path] if Path(path).is_file() else chain.from_iterable(map(glob, expanded(path)))
        files = sorted(set(map(Path, found_files)))
    if not files:
        raise DataError(f"there are no shards at {path}")
    found: dict[Part | None, list[Path]] = {}
    for file in files:
        found.setdefault(part_of(file), []).append(file)
    unsplit = found.pop(None, [])
    splits = {part: files for part, files in found.items() if part is not None}
    if unsplit and splits:
        raise DataError(f"{path}: {unsplit[0].name} begins with none of train, val and test, as {files[-1].name} does")
    if splits and "train" not in splits:
        raise DataError(f"{path} has shards for {', '.join(splits)}, and none for training")
    return splits or {"train": unsplit}


def part_of(file: Path) -> Part | None:
    spelled = {spelling: part for part, spellings in SPELLINGS.items() for spelling in spellings}
    first_word = re.split("[^a-z]", file.name, maxsplit=1)[0]
    return spelled.get(first_word) or spelled.get(file.parent.name)


def expanded(pattern: str) -> list[str]:
    """A pattern without braces, as a shell would: {a,b} is either, {000..012} a number."""
    braces = BRACES.search(pattern)
    if braces is None:
        return [pattern]
    start, end = pattern[: braces.start()], pattern[braces.end() :]
    return [one for choice in choices(braces[1]) for one in expanded(start + choice + end)]


def choices(inside: str) -> list[str]:
    if numbers := RANGE.fullmatch(inside):
        first, last = numbers.groups()
        return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return inside.split(",")


def numbered(file: Path, splits: dict[Part, list[Shard]]) -> tuple[list[str], dict[Part, Indices]]:
    """The classes in order, and the class of every sample."""
    texts = {text for shards in splits.values() for shard in shards for text in shard.texts}
    are_numbers = all(text.isdecimal() for text in texts)
    classes = lines_of(file) if file.is_file() else sorted(texts, key=int if are_numbers else str)
    numbers = {name: number for number, name in enumerate(classes)}
    if are_numbers and file.is_file():
        numbers = {text: int(text) for text in texts if int(text) < len(classes)}
    if unknown := sorted(texts - numbers.keys()):
        raise DataError(f"{file} does not name the class of these labels: {first_few(unknown)}")
    return classes, {
        part: np.concatenate([shard.classes(numbers) for shard in shards]) for part, shards in splits.items()
    }


def lines_of(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file} cannot be read as text in UTF-8: {fault}") from fault
    return [line.strip() for line in text.splitlines() if line.strip()]


def name_of(path: str, files: list[Path]) -> str:
    return (Path(path) if Path(path).is_dir() else files[0].parent).resolve().name
