"""The report as one HTML file: nothing is loaded from anywhere, and without a script only pointing is missing."""

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from vitrail.training.study.report.blocks import Block, Facts, Quote, Section, Story, Table
from vitrail.training.study.report.figure import figure
from vitrail.training.study.report.markup import element, text
from vitrail.training.study.report.results import Found
from vitrail.training.study.report.styles import colours
from vitrail.training.study.report.table import table
from vitrail.training.study.report.tooltips import stops


def page(story: Story, found: Found) -> str:
    script = read("page.js")
    body = [
        opening(story),
        contents(story),
        element("main", *(section(one, found) for one in story.sections)),
        element("script", data(found), type="application/json", id="numbers"),
        element("script", script),
    ]
    return "\n".join(
        ["<!doctype html>", '<html lang="en">', head(story, found, script), element("body", *body), "</html>\n"]
    )


def head(story: Story, found: Found, script: str) -> str:
    return "\n".join(
        [
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">',
            '<link rel="icon" href="data:,">',
            element("title", text(story.title)),
            element("style", read("page.css"), colours(len(found.names))),
            "</head>",
        ]
    )


def read(name: str) -> str:
    return files("vitrail.training.study.report").joinpath(name).read_text(encoding="utf-8")


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
    return figure(one.caption, found)


def code(words: str) -> str:
    """What stands between `…` is a word of the command."""
    return "".join(
        element("code", text(part)) if index % 2 else text(part) for index, part in enumerate(words.split("`"))
    )
