"""A folder of images with a table in it that says what each shows: several labels, values, or a map."""

from abc import ABC, abstractmethod
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents, Keys, keys_of, row_keys
from vitrail.data.file_digests import FileDigests
from vitrail.data.folders import names_below, read_canvases
from vitrail.data.maps import map_canvas, read_map
from vitrail.data.source import PARTS, Part, Samples
from vitrail.data.strata import rarest_label
from vitrail.data.subsets import TEST_SHARE, VAL_SHARE, held_out, three_parts
from vitrail.data.tables import NAMED_FAULTS, Row, find_table, labels_of, read_table, refuse, values_of
from vitrail.errors import DataError, ImageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import decode
from vitrail.tasks.task import TaskName

CLASSES_FILE = "classes.txt"


class Tabled(ABC):
    """What the three kinds of table share; `seed` decides how rows without a part are split."""

    task: ClassVar[TaskName]
    classes: tuple[str, ...]

    def __init__(self, table: Path, seed: int = 0) -> None:
        self.table = table
        self.path = table.parent
        self.name = self.path.resolve().name
        self._digests = FileDigests(self.path)
        columns, self._rows = read_table(table)
        self.classes = self._understand(columns)
        self._parts = self._split(self._strata(), seed)

    @abstractmethod
    def _understand(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Read the cells; the names of the classes or values."""

    @abstractmethod
    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        """What the images in these rows show, as `Samples.labels` has it for the task."""

    @abstractmethod
    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        """The targets of the images in these rows, by content."""

    def _strata(self) -> NDArray[np.int64]:
        """A number for each row; rows of one number are shared out among the parts in proportion."""
        return np.zeros(len(self._rows), np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Over the table and the contents of all files that it names: what is added, lost, moved or edited shows."""
        rows = np.arange(len(self._rows))
        said = self.table.read_bytes() + "\0".join(self.classes).encode()
        return sha256(said + self._digests.of(self._files(rows)).tobytes()).hexdigest()

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

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        return np.array(decode(self._rows[self._parts[part][index]].file.read_bytes()))

    def _names(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        return names_below(self.path, (self._rows[i].file for i in rows))

    def _files(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """Every file that these rows name."""
        return self._names(rows)

    def _split(self, strata: NDArray[np.int64], seed: int) -> dict[Part, NDArray[np.int64]]:
        """As the table says; parts that it does not name are cut from those for training."""
        given = {
            part: np.array([i for i, row in enumerate(self._rows) if row.part == part], np.int64) for part in PARTS
        }
        pile = given["train"] if any(row.part for row in self._rows) else np.arange(len(self._rows))
        wanted: list[Part] = [part for part in PARTS[1:] if not len(given[part])]
        if len(pile) < 1 + len(wanted):
            raise DataError(f"{self.table} has {len(pile)} image(s) to learn from; it needs at least {1 + len(wanted)}")
        if len(wanted) == 2:
            return {part: pile[some] for part, some in three_parts(strata[pile], seed).items()}
        for part in wanted:
            kept, out = held_out(strata[pile], VAL_SHARE if part == "val" else TEST_SHARE, seed)
            given[part], pile = pile[out], pile[kept]
        return {**given, "train": pile}


class LabelTable(Tabled):
    """labels.csv: `image,labels`, labels with ';' between them; an image may have none."""

    task = "multilabel"

    def _understand(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        found = labels_of(self._rows)
        classes = tuple(sorted({label for labels in found for label in labels}))
        if not classes:
            raise DataError(f"{self.table} gives no image a label")
        self._has = np.array([[label in labels for label in classes] for labels in found])
        return classes

    def _strata(self) -> NDArray[np.int64]:
        return rarest_label(self._has)

    def _targets(self, rows: NDArray[np.int64], rule: InputRule) -> NDArray[Any]:
        return self._has[rows].astype(np.uint8)

    def _target_keys(self, rows: NDArray[np.int64]) -> Keys:
        return row_keys(self._has[rows])


class ValueTable(Tabled):
    """values.csv: `image` and a column of numbers for each value."""

    task = "regression"

    def _understand(self, columns: tuple[str, ...]) -> tuple[str, ...]:
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


class MapTable(Tabled):
    """maps.csv: `image,map`, the map an image of the same size whose grey values number the lines of classes.txt."""

    task = "dense"

    def _understand(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        self._maps = [self.path / row.cells[0] for row in self._rows]
        refuse(
            self.table,
            [fault for row, file in zip(self._rows, self._maps, strict=True) if (fault := no_map(row, file))],
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
        for place, i in enumerate(rows):
            try:
                places = read_map(self._maps[i], self._rows[i].file.read_bytes(), len(self.classes))
                canvases[place] = map_canvas(places, rule)
            except (DataError, ImageError) as fault:
                faults.append(f"line {self._rows[i].number}: {fault}")
                if len(faults) == NAMED_FAULTS:
                    break
        refuse(self.table, faults)
        return canvases


def no_map(row: Row, file: Path) -> str | None:
    return None if row.cells[0] and file.is_file() else f"line {row.number}: there is no map '{row.cells[0]}'"


KINDS: dict[str, type[Tabled]] = {"labels.csv": LabelTable, "values.csv": ValueTable, "maps.csv": MapTable}


def open_table(path: str | Path, seed: int) -> Tabled | None:
    """The table in this folder, if there is one."""
    table = find_table(Path(path))
    return KINDS[table.name](table, seed) if table else None
