"""Columns of a manifest, read chunk by chunk into arrays; faulty cells are collected for one error."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.data.faults import Faults
from vitrail.data.items import PART_NUMBERS, SPELLINGS
from vitrail.data.names import Names, NamesBuilder

Cells = Sequence[Any] | NDArray[Any]
Rows = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


EMPTY, UNKNOWN = -1, -2  # instead of a part


class Column(Protocol):
    """What is read of a column so far."""

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None: ...


class Paths:
    """Names of images or files; `fault_of` says what is wrong with one."""

    def __init__(self, normal: Callable[[str], str], fault_of: Callable[[str], str | None]) -> None:
        self.normal, self.fault_of = normal, fault_of
        self.built = NamesBuilder()

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None:
        texts = [self.normal(text) for text in texts_of(cells)]
        for index, fault in enumerate(map(self.fault_of, texts)):
            if fault:
                faults.add(int(numbers[index]), fault)
        self.built.add(texts)

    def names(self) -> Names:
        return self.built.names()


class Texts:
    """Texts by number, in the order of their first appearance; an empty one is a fault where something is needed."""

    def __init__(self, needed: str = "") -> None:
        self.known: dict[str, int] = {}
        self.chunks: list[NDArray[np.int32]] = []
        self.needed = needed

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None:
        texts = texts_of(cells)
        if self.needed and "" in texts:
            for index in [index for index, text in enumerate(texts) if not text]:
                faults.add(int(numbers[index]), f"there is no {self.needed}")
        self.chunks.append(self.codes_of(texts))

    def codes_of(self, texts: Sequence[str]) -> NDArray[np.int32]:
        known = self.known
        return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32, len(texts))

    def codes(self) -> Rows:
        return joined(self.chunks).astype(np.int64)

    def in_order(self) -> tuple[tuple[str, ...], Rows]:
        """The texts, sorted, and the number of each cell's among them."""
        classes = sorted(self.known)
        place = np.empty(len(classes), np.int64)
        place[[self.known[name] for name in classes]] = np.arange(len(classes))
        return tuple(classes), place[self.codes()]


class TextSets(Texts):
    """Any number of texts a cell: a list, or one text with ';' between them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[Rows] = []

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None:
        sets = [set_of(cell) for cell in cells]
        self.counts.append(np.array([len(texts) for texts in sets], np.int64))
        self.chunks.append(self.codes_of([text for texts in sets for text in texts]))

    def ends(self) -> Rows:
        return np.concatenate([[0], np.cumsum(joined(self.counts))])


class Numbers:
    """Finite numbers; weights are positive, too."""

    def __init__(self, column: str, positive: bool = False) -> None:
        self.column, self.positive = column, positive
        self.chunks: list[NDArray[np.float64]] = []

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None:
        values = numbers_of(cells)
        wrong = ~np.isfinite(values.astype(np.float32)) | (self.positive & (values <= 0))
        what = "no positive number" if self.positive else "no number"
        for index in np.flatnonzero(wrong):
            faults.add(int(numbers[index]), f"'{text_of(cells[int(index)])}' in the column '{self.column}' is {what}")
        self.chunks.append(values)

    def values(self) -> NDArray[np.float64]:
        return joined(self.chunks)


class Splits:
    """The parts of images, as indices of PARTS, EMPTY or UNKNOWN."""

    def __init__(self) -> None:
        self.chunks: list[NDArray[np.int8]] = []

    def add(self, cells: Cells, numbers: Rows, faults: Faults) -> None:
        texts = texts_of(cells)
        known = PART_NUMBERS | {"": EMPTY}
        parts = np.fromiter((known.get(text, UNKNOWN) for text in texts), np.int8, len(texts))
        for index in np.flatnonzero(parts == UNKNOWN):
            there = ", ".join(SPELLINGS)
            faults.add(int(numbers[index]), f"the split '{texts[index]}' is unknown; there is {there}")
        self.chunks.append(parts)

    def parts(self) -> NDArray[np.int8]:
        return joined(self.chunks)


def joined(chunks: Sequence[NDArray[Number]]) -> NDArray[Number]:
    return np.concatenate(chunks) if chunks else np.empty(0)  # type: ignore[return-value]


def text_of(cell: Any) -> str:
    """A cell of CSV or Parquet as text; nothing is empty."""
    return "" if cell is None else str(cell).strip()


def texts_of(cells: Cells) -> list[str]:
    return [cell.strip() if type(cell) is str else text_of(cell) for cell in cells]


def set_of(cell: Any) -> list[str]:
    several = cell.split(";") if isinstance(cell, str) else [cell] if cell is None or np.isscalar(cell) else cell
    return [text for one in several if (text := text_of(one))]


def numbers_of(cells: Cells) -> NDArray[np.float64]:
    """NaN for a cell that is no number."""
    try:
        return np.array(cells, np.float64)
    except (TypeError, ValueError):
        return np.array([number_of(cell) for cell in cells], np.float64)


def number_of(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")
