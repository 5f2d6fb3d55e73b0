"""What a report is made of, before it is HTML or Markdown: both say the same words."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Link:
    """A word that leads to a run, by its folder's name."""

    text: str
    run: str
    on_page: bool = True  # its row is

    @property
    def file(self) -> str:
        """Its address, seen from the report."""
        return f"runs/{quote(self.run)}/result.json"


Cell = str | tuple[Link, ...]


@dataclass(frozen=True)
class Row:
    """The first cell says what the row is about."""

    cells: tuple[Cell, ...]
    foretold: bool = False
    run: str | None = None  # whose own row this is


@dataclass(frozen=True)
class Table:
    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False  # long: its caption stands, the rest opens


@dataclass(frozen=True)
class Facts:
    """Names and what they are, one a line."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quote:
    """Somebody's own words, line by line."""

    text: str


@dataclass(frozen=True)
class Curves:
    """Where the learning curves are drawn."""

    caption: str


Block = str | Table | Facts | Quote | Curves


@dataclass(frozen=True)
class Section:
    name: str  # in addresses
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Story:
    """The whole report."""

    title: str
    decision: str
    ground: str  # what the decision stands on, in one line
    sections: tuple[Section, ...]
