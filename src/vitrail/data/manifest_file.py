"""A manifest's file, CSV or Parquet, as chunks of rows; a million rows are never in memory at once."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from vitrail.data.columns import Cells, Rows
from vitrail.data.faults import Faults
from vitrail.errors import DataError

AT_A_TIME = 10_000  # rows
PARQUET = (".parquet", ".pq")
INDEX = "__index_level_"  # how pandas names the columns that hold an index


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows: their numbers, and the cells of each column."""

    numbers: Rows
    cells: Mapping[str, Cells]


@dataclass(frozen=True, eq=False)
class Table:
    """The names of the columns, and the rows in chunks. Rows that do not fit the columns are faults."""

    columns: tuple[str, ...]
    chunks: Iterator[Chunk]
    faults: Faults


def open_table(file: Path) -> Table:
    return open_parquet(file) if file.suffix.lower() in PARQUET else open_csv(file)


def open_csv(file: Path) -> Table:
    """The first line names the columns; a row's number is that of its (last) line."""
    faults = Faults(str(file), "line")
    rows = lines_of(file)
    columns = tuple(name.strip() for name in next(rows, (0, []))[1])
    return Table(columns, csv_chunks(rows, columns, faults), faults)


def csv_chunks(rows: Iterator[tuple[int, list[str]]], columns: Sequence[str], faults: Faults) -> Iterator[Chunk]:
    while some := list(islice(rows, AT_A_TIME)):
        even = [row for row in some if len(row[1]) == len(columns)]
        for number, cells in some if len(even) < len(some) else ():
            if len(cells) != len(columns):
                faults.add(number, f"{len(cells)} cells, where the first line has {len(columns)}")
        if even:
            cells_of = dict(zip(columns, zip(*(cells for _, cells in even), strict=True), strict=True))
            yield Chunk(np.array([number for number, _ in even]), cells_of)


def lines_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, and their numbers."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = csv.reader(opened, strict=True)
            yield from ((lines.line_num, line) for line in lines if line)
    except UnicodeDecodeError as fault:
        raise DataError(f"{file} is not in UTF-8 ({fault.reason}): save it as CSV in UTF-8") from fault
    except (OSError, csv.Error) as fault:
        raise DataError(f"{file} cannot be read as CSV: {fault}") from fault


def open_parquet(file: Path) -> Table:
    """A row's number counts from 1."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as fault:
        raise DataError(f'{file} needs pyarrow: pip install "vitrail[data]", or save it as CSV') from fault
    try:
        opened = parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as fault:
        raise DataError(f"{file} is no Parquet file, or is damaged: {fault}") from fault
    columns = tuple(name for name in opened.schema_arrow.names if not name.startswith(INDEX))

    def chunks() -> Iterator[Chunk]:
        begin = 1
        try:
            for batch in opened.iter_batches(AT_A_TIME, columns=columns):
                yield Chunk(np.arange(begin, begin + len(batch)), batch.to_pydict())
                begin += len(batch)
        except (OSError, pyarrow.ArrowException) as fault:
            raise DataError(f"{file} is damaged: {fault}") from fault

    return Table(columns, chunks(), Faults(str(file), "row"))
