"""Parsers of reports: tables, links and scripts of HTML, and tables of Markdown."""

import re
from html.parser import HTMLParser

Tables = dict[str, list[list[str]]]  # by caption: the head, then all rows

FOLDED = "summary"


class Reader(HTMLParser):
    """The content of a page, without a browser."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: Tables = {}
        self.links: list[str] = []
        self.identities: list[str] = []
        self.attributes: set[str] = set()
        self.elements: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append(tag)
        self.attributes |= attributes.keys()
        self.links += [attributes[key] or "" for key in ("href", "src") if key in attributes]
        self.identities += [attributes["id"] or ""] if "id" in attributes else []
        if tag not in ("meta", "link", "input", "img", "br"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows
        elif tag in ("caption", FOLDED):
            self._caption = self.texts[tag][-1]

    def handle_data(self, data: str) -> None:
        data = data.replace("\N{NO-BREAK SPACE}", " ")
        for tag in set(self._open):
            self.texts[tag][-1] += data
        if {"th", "td"} & set(self._open):
            self._rows[-1][-1] += data


def tables_of_markdown(text: str) -> Tables:
    """By the caption in bold above each table."""
    results: Tables = {}
    for caption, body in re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\n?)+)", text, re.MULTILINE):
        lines = [[bare(cell) for cell in line.strip("| ").split(" | ")] for line in body.strip().splitlines()]
        results[bare(caption)] = [lines[0], *lines[2:]]
    return results


def bare(cell: str) -> str:
    """Without links and backslashes."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)\[(.*?[^\\])\]\(.*?\)", r"\1", cell)).strip()


def numbers(cell: str) -> list[float]:
    """All numbers in it."""
    return [float(part.replace(",", "")) for part in re.findall(r"-?\d[\d,]*\.?\d*", cell.replace("−", "-"))]
