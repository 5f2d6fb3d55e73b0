"""A table of images: labels.csv, values.csv or maps.csv; one error names all its faults."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from vitrail.data.source import PARTS
from vitrail.errors import DataError, first_few
from vitrail.images.decode import EXTENSIONS
from vitrail.tasks.task import TaskName

TABLES: dict[str, TaskName] = {"labels.csv": "multilabel", "values.csv": "regression", "maps.csv": "dense"}
IMAGE, PART = "image", "part"
OWN: dict[TaskName, str] = {"multilabel": "labels", "dense": "map"}  # the column beside these; values have any


@dataclass(frozen=True)
class Row:
    """One image of a table: its file, its part if given, and its other cells."""

    number: int  # of the line in the file
    file: Path
    part: str  # or empty, to be split by the seed
    cells: tuple[str, ...]


def find_table(folder: Path) -> Path | None:
    """The table of a folder; two tables would be two tasks."""
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise DataError(f"{folder} has {' and '.join(file.name for file in tables)}: keep the one to train on")
    return tables[0] if tables else None


def read_table(table: Path) -> tuple[tuple[str, ...], list[Row]]:
    """The names of a table's own columns, and its rows."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            head = [name.strip() for name in next(lines, [])]
            cells = [(lines.line_num, line) for line in lines if line]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{table} cannot be read as a CSV file in UTF-8: {fault}") from fault
    columns = own_columns(table, head)
    if not cells:
        raise DataError(f"{table} has no images in it")
    uneven = [f"line {number} has {len(line)} cells" for number, line in cells if len(line) != len(head)]
    refuse(table, [f"{fault}, the first line {len(head)}" for fault in uneven])
    rows = [row_of(table, number, dict(zip(head, line, strict=True)), columns) for number, line in cells]
    refuse(table, [*(fault for row in rows for fault in faults_of(table, row)), *twice(table, rows)])
    if len({row.part == "" for row in rows}) > 1:
        raise DataError(f"{table}: the column 'part' is filled in some rows and empty in others")
    return columns, rows


def own_columns(table: Path, head: Sequence[str]) -> tuple[str, ...]:
    """The columns beside `image` and `part`; those of labels and maps have a name that is given."""
    own = tuple(name for name in head if name not in (IMAGE, PART))
    wanted = OWN.get(TABLES[table.name])
    if IMAGE not in head or (own != (wanted,) if wanted else not own):
        there = f"the columns '{IMAGE}' and '{wanted}'" if wanted else f"the column '{IMAGE}' and one for each value"
        raise DataError(f"{table} must have {there}, and may have '{PART}'; its first line is '{','.join(head)}'")
    if len(set(head)) < len(head) or "" in head:
        raise DataError(f"{table} has a column without a name, or two of one name: '{','.join(head)}'")
    return own


def row_of(table: Path, number: int, cells: dict[str, str], columns: Sequence[str]) -> Row:
    file = table.parent / cells[IMAGE].strip()
    return Row(number, file, cells.get(PART, "").strip(), tuple(cells[column].strip() for column in columns))


def faults_of(table: Path, row: Row) -> Iterator[str]:
    if not row.file.is_relative_to(table.parent):
        yield f"line {row.number}: '{row.file}' is not named from the table's own folder"
    elif not row.file.is_file():
        yield f"line {row.number}: there is no image '{row.file.relative_to(table.parent)}'"
    elif row.file.suffix.lower() not in EXTENSIONS:
        yield f"line {row.number}: '{row.file.name}' is not an image format that vitrail reads"
    if row.part not in ("", *PARTS):
        yield f"line {row.number}: the part '{row.part}' is unknown; there is {', '.join(PARTS)}"


def twice(table: Path, rows: Iterable[Row]) -> list[str]:
    first: dict[Path, int] = {}
    return [
        f"line {row.number}: '{row.file.name}' is in line {first[row.file]} already"
        for row in rows
        if first.setdefault(row.file, row.number) != row.number
    ]


def refuse(table: Path, faults: list[str]) -> None:
    """One error with the first faults and the number of the others."""
    if faults:
        raise DataError(f"{table}: {first_few(faults)}")


def labels_of(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The labels of each image, in one cell and separated by ';'."""
    return [tuple(label for text in row.cells[0].split(";") if (label := text.strip())) for row in rows]


def values_of(table: Path, columns: Sequence[str], rows: Sequence[Row]) -> list[list[float]]:
    """The values of each image."""
    faults: list[str] = []

    def number(row: Row, column: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            faults.append(f"line {row.number}: '{text}' in the column '{column}' is no number")
        return value

    values = [[number(row, *cell) for cell in zip(columns, row.cells, strict=True)] for row in rows]
    refuse(table, faults)
    return values
