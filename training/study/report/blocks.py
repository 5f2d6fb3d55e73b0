"""The content of a report, independent of HTML and Markdown."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Link:
    """A link to a run, by the name of its folder."""

    text: str
    run: str
    on_page: bool = True  # to its row on the page, else to its file

    @property
    def file(self) -> str:
        """Its address, relative to the report."""
        return f"runs/{quote(self.run)}/result.json"


Cell = str | tuple[Link, ...]


@dataclass(frozen=True)
class Row:
    """A row of a table; the first cell is its heading."""

    cells: tuple[Cell, ...]
    forecast: bool = False
    run: str | None = None  # the run that this row describes


@dataclass(frozen=True)
class Table:
    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False  # long: collapsed to its caption


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quote:
    """Quoted text, line by line."""

    text: str


@dataclass(frozen=True)
class CurvesFigure:
    """The figure of the learning curves."""

    caption: str


Block = str | Table | Facts | Quote | CurvesFigure


@dataclass(frozen=True)
class Section:
    name: str  # its anchor
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    title: str
    decision: str
    basis: str  # the data behind the decision, in one line
    sections: tuple[Section, ...]
