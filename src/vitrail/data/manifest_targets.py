"""The columns of a manifest that hold targets, one class a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

import numpy as np
from numpy.typing import NDArray

from vitrail.data.columns import Column, Numbers, Paths, Rows, Texts, TextSets
from vitrail.data.faults import Faults
from vitrail.data.file_digests import FileDigests
from vitrail.data.file_tree import Kind, missing_files
from vitrail.data.names import Names
from vitrail.data.source import PARTS
from vitrail.data.targets import Boxes, Labels, LabelSets, ListedTargets, Maps, Sequences, ValueMaps, Values
from vitrail.errors import DataError

LABEL, LABELS, SEQUENCE, BOXES, MAP = "label", "labels", "sequence", "boxes", "map"
VALUE_MAP = "map:"  # before the name of a value
CLASSES_FILE = "classes.txt"


@dataclass(frozen=True, eq=False)
class Listed:
    """The images beside their targets: names, numbers of lines or rows, and parts where they are given."""

    names: Names
    numbers: Rows
    parts: NDArray[np.int8] | None


class TargetColumns(ABC):
    """Columns by name, which become targets once all rows are read."""

    columns: dict[str, Column]

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    @abstractmethod
    def of(self, listed: Listed) -> ListedTargets: ...

    def name_untrained(self, classes: Sequence[str], codes: Rows, rows: Rows, listed: Listed) -> None:
        """A fault for each class that no training image has, at its first row; `codes` are those of `rows`."""
        if listed.parts is None:
            return
        trained = np.unique(codes[listed.parts[rows] == PARTS.index("train")])
        present, first = np.unique(codes, return_index=True)
        for code, where in zip(present, first, strict=True):
            if classes[code] and code not in trained:
                self.faults.add(int(listed.numbers[rows[where]]), f"no training image has the class '{classes[code]}'")


class LabelColumn(TargetColumns):
    """`label`: one class an image."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.texts = Texts(needed="label")
        self.columns = {LABEL: self.texts}

    def of(self, listed: Listed) -> ListedTargets:
        classes, codes = self.texts.in_order()
        if len(classes) < 2:
            self.faults.say(f"there is only one class, '{classes[0]}'")
        self.name_untrained(classes, codes, np.arange(len(codes)), listed)
        return Labels(classes, codes)


class LabelsColumn(TargetColumns):
    """`labels`: any number of classes an image."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.sets = TextSets()
        self.columns = {LABELS: self.sets}

    def of(self, listed: Listed) -> ListedTargets:
        classes, codes = self.sets.in_order()
        if not classes:
            self.faults.say("it gives no image a label")
        ends = self.sets.ends()
        self.name_untrained(classes, codes, np.repeat(np.arange(len(listed.names)), np.diff(ends)), listed)
        return LabelSets(classes, codes, ends)


class SequenceColumn(TargetColumns):
    """`sequence`: classes in their order, at least one an image."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.sequences = TextSets()
        self.columns = {SEQUENCE: self.sequences}

    def of(self, listed: Listed) -> ListedTargets:
        classes, codes = self.sequences.in_order()
        ends = self.sequences.ends()
        for index in np.flatnonzero(np.diff(ends) == 0):
            self.faults.add(int(listed.numbers[index]), "there is no sequence: give at least one label")
        self.name_untrained(classes, codes, np.repeat(np.arange(len(listed.names)), np.diff(ends)), listed)
        return Sequences(classes, codes, ends)


class BoxesColumn(TargetColumns):
    """`boxes`: any number of classes an image, each with left, top, right and bottom as shares of the image."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.boxes = TextSets()
        self.columns = {BOXES: self.boxes}

    def of(self, listed: Listed) -> ListedTargets:
        texts, codes = self.boxes.in_order()
        if not texts:
            self.faults.say("it gives no image a box")
        ends = self.boxes.ends()
        rows = np.repeat(np.arange(len(listed.names)), np.diff(ends))
        parsed = [parse_box(text) for text in texts]
        for code, fault in enumerate(parsed):
            if isinstance(fault, str):
                self.faults.add(int(listed.numbers[rows[np.flatnonzero(codes == code)[0]]]), fault)
        boxes = [("", [0.0] * 4) if isinstance(one, str) else one for one in parsed]
        classes = tuple(sorted({label for label, _ in boxes}))
        table = np.array([[classes.index(label), *corners] for label, corners in boxes], np.float32).reshape(-1, 5)
        self.name_untrained(classes, table[codes, 0].astype(np.int64), rows, listed)
        return Boxes(classes, table[codes], ends)


def parse_box(text: str) -> tuple[str, list[float]] | str:
    """The label and the corners of a box; or what is wrong with it."""
    label, *sides = text.rsplit(maxsplit=4)
    try:
        corners = [float(side) for side in sides]
    except ValueError:
        corners = []
    if len(corners) != 4:
        return f"'{text}' is no box: give a label, left, top, right and bottom, as in 'oak 0.1 0.2 0.5 0.9'"
    left, top, right, bottom = corners
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        return f"'{text}': left and top are below right and bottom, and all are shares of the image, from 0 to 1"
    return label, corners


class ValueColumns(TargetColumns):
    """Every column that has no other meaning: a number for each image."""

    def __init__(self, names: Iterable[str], faults: Faults) -> None:
        super().__init__(faults)
        self.numbers = {name: Numbers(name) for name in names}
        self.columns = {**self.numbers}

    def of(self, listed: Listed) -> ListedTargets:
        values = np.stack([column.values() for column in self.numbers.values()], axis=1).astype(np.float32)
        for name, column in zip(self.numbers, values.T, strict=True):
            if column.min() == column.max():
                self.faults.say(f"'{name}' is the same for every image, so there is nothing to learn")
        return Values(tuple(self.numbers), values)


class MapColumns(TargetColumns):
    """Columns of files, each an image of the same size as the row's image."""

    def __init__(self, columns: Iterable[str], root: Path, faults: Faults) -> None:
        super().__init__(faults)
        self.root = root
        self.paths = {column: Paths(normpath, lambda path: fault_of_file(path, "map")) for column in columns}
        self.columns = {**self.paths}

    def files(self, listed: Listed) -> tuple[Names, ...]:
        columns = tuple(paths.names() for paths in self.paths.values())
        for maps in columns:
            for index in missing_files(self.root, maps).tolist():
                self.faults.add(int(listed.numbers[index]), f"there is no map '{maps[index]}'")
        return columns


class ValueMapColumns(MapColumns):
    """`map:` and the name of a value: grey values are numbers."""

    def of(self, listed: Listed) -> ListedTargets:
        names = tuple(column.removeprefix(VALUE_MAP) for column in self.paths)
        maps, digests = self.files(listed), FileDigests(self.root)
        return ValueMaps(names, self.root, listed.names, maps, digests, listed.numbers, self.faults.anew())


class ClassMapColumn(MapColumns):
    """`map`: grey values number the lines of classes.txt."""

    def of(self, listed: Listed) -> ListedTargets:
        maps, classes, digests = self.files(listed), self.classes(), FileDigests(self.root)
        return Maps(classes, self.root, listed.names, maps, digests, listed.numbers, self.faults.anew())

    def classes(self) -> tuple[str, ...]:
        file = self.root / CLASSES_FILE
        if not file.is_file():
            self.faults.say(f"it needs {file} beside it: the classes' names, one a line, in order")
            return ()
        classes = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
        if not 2 <= len(set(classes)) == len(classes) <= 255:
            self.faults.say(f"{file} must name 2 to 255 classes, each once; it has {len(classes)} lines")
        return classes


READERS: dict[str, Callable[[Faults], TargetColumns]] = {
    LABEL: LabelColumn,
    LABELS: LabelsColumn,
    SEQUENCE: SequenceColumn,
    BOXES: BoxesColumn,
}


def targets_for(names: Sequence[str], root: Path | None, faults: Faults) -> TargetColumns:
    """The reader of these columns: one of label, labels, sequence, boxes and map alone, or values, or their maps."""
    of_values = [name for name in names if len(name) > len(VALUE_MAP) and name.startswith(VALUE_MAP)]
    named = [name for name in names if name in READERS or name == MAP]
    if not names or (named and len(names) > 1) or 0 < len(of_values) < len(names):
        there = f"; beside 'path' it has {', '.join(names)}" if names else ""
        raise DataError(
            f"{faults.place} must have one of the columns '{LABEL}', '{LABELS}', '{SEQUENCE}', '{BOXES}' and '{MAP}', "
            f"or a column for each value, or '{VALUE_MAP}' and a name for each map of values{there}"
        )
    if named == [MAP] or of_values:
        if root is None:
            raise DataError(f"{faults.place} has maps, which are files: list them in a manifest")
        return (ValueMapColumns if of_values else ClassMapColumn)(names, root, faults)
    if named:
        return READERS[named[0]](faults)
    return ValueColumns(names, faults)


def file_paths(kind: Kind) -> Paths:
    return Paths(normpath, lambda path: fault_of_path(path, kind))


def fault_of_path(path: str, kind: Kind) -> str | None:
    if fault := fault_of_file(path, kind.name):
        return fault
    return None if kind.has(path) else f"'{path}' is not {kind.format}"


def fault_of_file(path: str, what: str) -> str | None:
    """What is wrong with the path of a file from the manifest's folder, apart from the file."""
    if path == ".":
        return f"there is no {what} ''"
    if path.startswith(("/", "../")) or path == "..":
        return f"'{path}' is not named from the manifest's own folder"
    return None
