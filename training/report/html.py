"""The report as one HTML file: nothing is loaded from anywhere, and without scripts everything is there but pointing."""

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from vitrail.training.report.chart import View, draw
from vitrail.training.report.found import Found
from vitrail.training.report.looks import colours, swatch
from vitrail.training.report.markup import element, text
from vitrail.training.report.parts import Block, Cell, Curves, Facts, Quote, Row, Section, Story, Table
from vitrail.training.report.stops import stops

VIEWS: tuple[tuple[View, str], ...] = (("error", "Error, log scale"), ("accuracy", "Accuracy"))
NUMBERS = set("0123456789<>≤+−–")  # what a cell of a column of numbers begins with
WIDE, NARROW = (860.0, 460.0), (360.0, 380.0)
WORDY = {"no forecast", "beyond reach", "no back-test", "not measured"}


def page(story: Story, found: Found) -> str:
    script = read("page.js")
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">',
        '<link rel="icon" href="data:,">',
        element("title", text(story.title)),
        f"<style>\n{read('page.css')}\n{colours(len(found.names))}\n</style>",
    ]
    body = [
        opening(story),
        contents(story),
        element("main", *(section(one, found) for one in story.sections), id="main"),
        element("script", data(found), type="application/json", id="numbers"),
        f"<script>{script}</script>",
    ]
    return "\n".join(['<!doctype html>\n<html lang="en">', "<head>", *head, "</head>", "<body>", *body, "</body>", "</html>\n"])


def read(name: str) -> str:
    return files("vitrail.training.report").joinpath(name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """Nothing from outside, and no script but ours."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def data(found: Found) -> str:
    """For the script; no < can end the element before its time."""
    told = {"names": list(found.names), "stops": stops(found)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def opening(story: Story) -> str:
    first, _, rest = story.decision.partition("; ")
    decision = element("strong", text(first)) + (f"; {text(rest)}" if rest else "")
    glass = element("span", "<i></i>" * 4, class_="glass", aria_hidden="true")
    return element(
        "header",
        element("h1", glass, text(story.title)),
        element("p", decision, class_="decision"),
        element("p", text(story.ground), class_="ground"),
    )


def contents(story: Story) -> str:
    links = [element("a", text(one.title), href=f"#{one.name}") for one in story.sections]
    return element("nav", *links, aria_label="Contents")


def section(one: Section, found: Found) -> str:
    heading = element("h2", text(one.title), id=f"{one.name}-title")
    blocks = [block(each, found) for each in one.blocks]
    return "\n" + element("section", heading, *blocks, id=one.name, aria_labelledby=f"{one.name}-title")


def block(one: Block, found: Found) -> str:
    if isinstance(one, str):
        return element("p", code(one))
    if isinstance(one, Table):
        return table(one)
    if isinstance(one, Quote):
        return element("blockquote", *(element("p", text(line)) for line in one.text.splitlines() if line.strip()))
    if isinstance(one, Facts):
        return element("dl", *(element("dt", text(name)) + element("dd", text(fact)) for name, fact in one.pairs))
    return curves(one, found)


def code(words: str) -> str:
    """What stands between `…` is a word of the command."""
    return "".join(
        element("code", text(part)) if index % 2 else text(part) for index, part in enumerate(words.split("`"))
    )


def table(one: Table) -> str:
    numeric = [all(is_number(row.cells[index]) for row in one.rows) for index in range(len(one.head))]
    head = [element("th", text(word), scope="col", class_=kind(numeric[i])) for i, word in enumerate(one.head)]
    body = "".join(row(each, numeric) for each in one.rows)
    caption = element("caption", text(one.caption))
    inner = ("" if one.folded else caption) + element("thead", element("tr", *head)) + element("tbody", body)
    scroll = element(
        "div", element("table", inner), class_="scroll", tabindex="0", role="region", aria_label=one.caption
    )
    return element("details", element("summary", text(one.caption)), scroll) if one.folded else scroll


def row(one: Row, numeric: list[bool]) -> str:
    first = element("th", cell(one.cells[0]), scope="row", class_=kind(numeric[0]))
    rest = [element("td", cell(each), class_=kind(numeric[i])) for i, each in enumerate(one.cells[1:], 1)]
    own = f"run-{one.run}" if one.run else None
    return element("tr", first, *rest, class_="foretold" if one.foretold else None, id=own)


def cell(one: Cell) -> str:
    """A run's own row leads to its file, every other mention of it to that row."""
    if isinstance(one, str):
        return text(one)
    own = [link for link in one if link.text == link.run]
    links = [
        element("a", text(link.text), href=f"runs/{link.run}/result.json" if own else f"#run-{link.run}") for link in one
    ]
    return ", ".join(links)


def is_number(one: Cell) -> bool:
    return isinstance(one, str) and (one[:1] in NUMBERS or one == "" or one in WORDY)


def kind(numeric: bool) -> str | None:
    return "number" if numeric else None


def curves(one: Curves, found: Found) -> str:
    """Both views in both shapes: which is seen is a matter of the style sheet."""
    drawings = [
        draw(found, view, *shape, named, f"{view}-{name}")
        for view, _ in VIEWS
        for shape, named, name in ((WIDE, True, "wide"), (NARROW, False, "narrow"))
    ]
    readout = element("div", class_="readout", id="readout", hidden="hidden", aria_live="polite")
    plot = element("div", *drawings, readout, class_="plot", id="plot")
    return element("figure", choices(found), plot, element("figcaption", text(one.caption)))


def choices(found: Found) -> str:
    """Which contenders, and which view."""
    shown = [
        element(
            "label",
            element("input", type="checkbox", id=f"show-{index}", checked="checked", autocomplete="off").removesuffix("</input>"),
            swatch(index),
            element("span", text(name)),
        )
        for index, name in enumerate(found.names)
    ]
    views = [
        element(
            "label",
            element("input", type="radio", name="view", id=f"view-{view}", checked="checked" if view == "error" else None,
                    autocomplete="off").removesuffix("</input>"),
            element("span", text(word)),
        )
        for view, word in VIEWS
    ]  # fmt: skip
    return element(
        "div",
        element("fieldset", element("legend", "Contenders"), *shown),
        element("fieldset", element("legend", "View"), *views),
        class_="choices",
    )
