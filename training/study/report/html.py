"""The report as one self-contained HTML file; without a script, only the tooltips are missing."""

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import assert_never

from vitrail.plots.markup import element, text, with_code
from vitrail.training.study.report.blocks import (
    Block,
    Cell,
    CurvesFigure,
    Facts,
    Link,
    Quote,
    Report,
    Row,
    Section,
    Table,
)
from vitrail.training.study.report.figure import figure
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.styles import colours
from vitrail.training.study.report.tooltips import tooltips

NUMERIC = set("0123456789<>≤+−–")  # first characters of the cells of a numeric column


def page(report: Report, results: StudyResults) -> str:
    script = (read("curves.js") if results.has_curves else "") + read("page.js")
    body = [
        header(report),
        contents(report),
        element("main", *(section(one, results) for one in report.sections)),
        *([element("script", data(results), type="application/json", id="numbers")] if results.has_curves else []),
        element("script", script),
    ]
    return "\n".join(
        ["<!doctype html>", '<html lang="en">', head(report, results, script), element("body", *body), "</html>\n"]
    )


def head(report: Report, results: StudyResults, script: str) -> str:
    return "\n".join(
        [
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">',
            '<link rel="icon" href="data:,">',
            element("title", text(report.title)),
            element("style", read("page.css"), colours(len(results.names))),
            "</head>",
        ]
    )


def read(name: str) -> str:
    return files("vitrail.training.study.report").joinpath(name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """No external resources, and no script but ours."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def data(results: StudyResults) -> str:
    """JSON for the script; < is escaped so that no text can close the element."""
    content = {"names": list(results.names), "tooltips": tooltips(results)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def header(report: Report) -> str:
    first, _, rest = report.decision.partition("; ")
    decision = element("strong", text(first)) + (f"; {text(rest)}" if rest else "")
    glass = element("span", "<i></i>" * 4, class_="glass", aria_hidden="true")
    return element(
        "header",
        element("h1", glass, text(report.title)),
        element("p", decision, class_="decision"),
        element("p", text(report.basis), class_="basis"),
    )


def contents(report: Report) -> str:
    links = [element("a", text(one.title), href=f"#{one.name}") for one in report.sections]
    return element("nav", *links, aria_label="Contents")


def section(one: Section, results: StudyResults) -> str:
    heading = element("h2", text(one.title), id=f"{one.name}-title")
    blocks = [block(each, results) for each in one.blocks]
    return "\n" + element("section", heading, *blocks, id=one.name, aria_labelledby=f"{one.name}-title")


def block(one: Block, results: StudyResults) -> str:
    if isinstance(one, str):
        return element("p", with_code(one))
    if isinstance(one, Table):
        return table(one)
    if isinstance(one, Quote):
        return element("blockquote", *(element("p", text(line)) for line in one.text.splitlines() if line.strip()))
    if isinstance(one, Facts):
        return element("dl", *(element("dt", text(name)) + element("dd", text(fact)) for name, fact in one.pairs))
    if isinstance(one, CurvesFigure):
        return figure(one.caption, results)
    assert_never(one)


def table(one: Table) -> str:
    """Wide tables scroll, long ones are collapsed."""
    numeric = [all(is_numeric(row.cells[index]) for row in one.rows) for index in range(len(one.head))]
    headings = [element("th", text(name), scope="col", class_=kind(numeric[i])) for i, name in enumerate(one.head)]
    body = "".join(table_row(each, numeric) for each in one.rows)
    caption = element("caption", text(one.caption))
    inner = ("" if one.folded else caption) + element("thead", element("tr", *headings)) + element("tbody", body)
    scroll = element(
        "div", element("table", inner), class_="scroll", tabindex="0", role="region", aria_label=one.caption
    )
    return element("details", element("summary", text(one.caption)), scroll) if one.folded else scroll


def table_row(one: Row, numeric: list[bool]) -> str:
    first = element("th", cell(one.cells[0]), scope="row", class_=kind(numeric[0]))
    rest = [element("td", cell(each), class_=kind(numeric[i])) for i, each in enumerate(one.cells[1:], 1)]
    identity = f"run-{one.run}" if one.run else None
    return element("tr", first, *rest, class_="forecast" if one.forecast else None, id=identity)


def cell(one: Cell) -> str:
    if isinstance(one, str):
        return text(one)
    return ", ".join(element("a", text(link.text), href=address(link)) for link in one)


def address(link: Link) -> str:
    return f"#run-{link.run}" if link.on_page else link.file


def is_numeric(one: Cell) -> bool:
    return isinstance(one, str) and one[:1] in NUMERIC


def kind(numeric: bool) -> str | None:
    return "number" if numeric else None
