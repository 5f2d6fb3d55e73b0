"""A folder of images with a table of their targets: several labels, values, or a map."""

from abc import ABC, abstractmethod
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents, Keys, keys_of, row_keys
from vitrail.data.file_digests import FileDigests
from vitrail.data.folders import names_below, read_canvases, read_whole
from vitrail.data.maps import map_canvas, read_map
from vitrail.data.source import PARTS, Part, Samples
from vitrail.data.subsets import TEST_SHARE, VAL_SHARE, held_out, rarest_label, three_parts
from vitrail.data.tables import Row, find_table, labels_of, read_table, refuse, values_of
from vitrail.errors import NAMED, DataError, ImageError
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName

CLASSES_FILE = "classes.txt"


class TableFolder(ABC):
    """Common to the three kinds of table; `seed` decides how rows without a part are split."""

    task: ClassVar[TaskName]
    classes: tuple[str, ...]

    def __init__(self, table: Path, seed: int = 0) -> None:
        self.table = table
        self.path = table.parent
        self.name = self.path.resolve().name
        self._digests = FileDigests(self.path)
        columns, self._rows = read_table(table)
        self.classes = self._parse(columns)
        self._parts = self._split(self._strata(), seed)

    @abstractmethod
    def _parse(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Parse the cells; returns the names of the classes or values."""

    @abstractmethod
    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        """The targets of these rows, as in `Samples.labels`."""

    @abstractmethod
    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        """The targets of these rows, by content."""

    def _strata(self) -> NDArray[np.int64]:
        """A number for each row; splits are stratified by it."""
        return np.zeros(len(self._rows), np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Of the table and the contents of all files that it names."""
        rows = np.arange(len(self._rows))
        table = self.table.read_bytes() + "\0".join(self.classes).encode()
        return sha256(table + self._digests.of(self._files(rows)).tobytes()).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self._strata()[self._parts[part]]

    def contents(self, part: Part) -> Contents:
        rows = self._parts[part]
        names = self._names(rows)
        return Contents(names, keys_of(self._digests.of(names)), self._target_keys(rows))

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        rows = self._parts[part] if chosen is None else self._parts[part][chosen]
        files = [self._rows[i].file for i in rows]
        return Samples(read_canvases(files, rule), self._targets(rows, rule), self._names(rows))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self._targets(self._parts[part] if chosen is None else self._parts[part][chosen], rule)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return read_whole(self._row(part, index).file, least)

    def file(self, part: Part, index: int) -> Path | None:
        return self._row(part, index).file

    def encoded(self, part: Part, index: int) -> bytes | None:
        return self._row(part, index).file.read_bytes()

    def _row(self, part: Part, index: int) -> Row:
        row: Row = self._rows[self._parts[part][index]]
        return row

    def _names(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        return names_below(self.path, (self._rows[i].file for i in rows))

    def _files(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """Every file that these rows name."""
        return self._names(rows)

    def _split(self, strata: NDArray[np.int64], seed: int) -> dict[Part, NDArray[np.int64]]:
        """By the table; parts that it does not name are cut from the training images."""
        given = {
            part: np.array([i for i, row in enumerate(self._rows) if row.part == part], np.int64) for part in PARTS
        }
        unsplit = given["train"] if any(row.part for row in self._rows) else np.arange(len(self._rows))
        wanted: list[Part] = [part for part in PARTS[1:] if not len(given[part])]
        if len(unsplit) < 1 + len(wanted):
            raise DataError(
                f"{self.table} has {len(unsplit)} image(s) for training; it needs at least {1 + len(wanted)}"
            )
        if len(wanted) == 2:
            return {part: unsplit[some] for part, some in three_parts(strata[unsplit], seed).items()}
        for part in wanted:
            rest, out = held_out(strata[unsplit], VAL_SHARE if part == "val" else TEST_SHARE, seed)
            given[part], unsplit = unsplit[out], unsplit[rest]
        return {**given, "train": unsplit}


class LabelTable(TableFolder):
    """labels.csv: `image,labels`, labels with ';' between them; an image may have none."""

    task = "multilabel"

    def _parse(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        labels = labels_of(self._rows)
        classes = tuple(sorted({label for row in labels for label in row}))
        if not classes:
            raise DataError(f"{self.table} gives no image a label")
        self._has = np.array([[label in row for label in classes] for row in labels])
        return classes

    def _strata(self) -> NDArray[np.int64]:
        return rarest_label(self._has)

    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        return self._has[rows].astype(np.uint8)

    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        return row_keys(self._has[rows])


class ValueTable(TableFolder):
    """values.csv: `image` and a column of numbers for each value."""

    task = "regression"

    def _parse(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        self._values = np.array(values_of(self.table, columns, self._rows), np.float32)
        refuse(
            self.table,
            [
                f"'{column}' is the same for every image, so there is nothing to learn"
                for column, values in zip(columns, self._values.T, strict=True)
                if values.min() == values.max()
            ],
        )
        return columns

    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        return self._values[rows]

    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        return row_keys(self._values[rows])


class MapTable(TableFolder):
    """maps.csv: `image,map`, the map an image of the same size whose grey values number the lines of classes.txt."""

    task = "dense"

    def _parse(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        self._maps = [self.path / row.cells[0] for row in self._rows]
        refuse(
            self.table,
            [fault for row, file in zip(self._rows, self._maps, strict=True) if (fault := missing_map(row, file))],
        )
        file = self.path / CLASSES_FILE
        if not file.is_file():
            raise DataError(f"{self.table} needs {file} beside it: the classes' names, one a line, in order")
        classes = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
        if not 2 <= len(set(classes)) == len(classes) <= 255:
            raise DataError(f"{file} must name 2 to 255 classes, each once; it has {len(classes)} lines")
        return classes

    def _files(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        return self._names(rows) + self._map_names(rows)

    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        return keys_of(self._digests.of(self._map_names(rows)))

    def _map_names(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        return tuple(self._rows[i].cells[0] for i in rows)

    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        canvases, faults = np.empty((len(rows), rule.size, rule.size), np.uint8), []
        for index, i in enumerate(rows):
            try:
                labels = read_map(self._maps[i], self._rows[i].file.read_bytes(), len(self.classes))
                canvases[index] = map_canvas(labels, rule)
            except (DataError, ImageError) as fault:
                faults.append(f"line {self._rows[i].number}: {fault}")
                if len(faults) == NAMED:
                    break
        refuse(self.table, faults)
        return canvases


def missing_map(row: Row, file: Path) -> str | None:
    return None if row.cells[0] and file.is_file() else f"line {row.number}: there is no map '{row.cells[0]}'"


KINDS: dict[str, type[TableFolder]] = {"labels.csv": LabelTable, "values.csv": ValueTable, "maps.csv": MapTable}


def open_table(path: str | Path, seed: int) -> TableFolder | None:
    """The table in this folder, if there is one."""
    table = find_table(Path(path))
    return KINDS[table.name](table, seed) if table else None
