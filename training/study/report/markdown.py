"""The report as Markdown: the same text, with the plot as an image."""

import re
from typing import assert_never

from vitrail.training.study.report.blocks import Block, Cell, CurvesFigure, Facts, Quote, Report, Section, Table

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def markdown(report: Report) -> str:
    parts = [f"# {plain(report.title)}", f"**{plain(report.decision)}**", plain(report.basis)]
    for one in report.sections:
        parts += section(one)
    return "\n\n".join(parts) + "\n"


def section(one: Section) -> list[str]:
    return [f"## {plain(one.title)}", *(block(each) for each in one.blocks)]


def block(one: Block) -> str:
    if isinstance(one, str):
        return paragraph(one)
    if isinstance(one, Table):
        return table(one)
    if isinstance(one, Quote):
        return "\n".join(f"> {plain(line)}  " if line.strip() else ">" for line in one.text.splitlines())
    if isinstance(one, Facts):
        return "\n".join(f"- **{plain(name)}**: {plain(fact)}" for name, fact in one.pairs)
    if isinstance(one, CurvesFigure):
        return f"![Learning curves](learning_curves.png)\n\n{plain(one.caption)}"
    assert_never(one)


def table(one: Table) -> str:
    rule = "|" + "---|" * len(one.head)
    rows = [line(row.cells) for row in one.rows]
    return "\n".join([f"**{plain(one.caption)}**", "", line(one.head), rule, *rows])


def line(cells: tuple[Cell, ...]) -> str:
    return f"| {' | '.join(cell(each) for each in cells)} |"


def cell(one: Cell) -> str:
    if isinstance(one, str):
        return plain(one)
    return ", ".join(f"[{plain(link.text)}]({link.file})" for link in one)


def plain(text: str) -> str:
    """On one line, with Markdown and HTML escaped."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def paragraph(text: str) -> str:
    """Text with code between backquotes, which is not escaped."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if index % 2 else SPECIAL.sub(r"\\\1", part) for index, part in enumerate(parts))
