"""Blocks of a page: its header, sections, tables and lists of facts, each as markup."""

from collections.abc import Iterable, Sequence

from vitrail.plots.markup import element, text


def header(title: str, decision: str, basis: str = "") -> str:
    """The name of the page, what it says in one sentence, and what that rests on; the last two are markup."""
    return element(
        "header",
        element("h1", element("span", "<i></i>" * 4, class_="glass", aria_hidden="true"), text(title)),
        element("p", decision, class_="decision"),
        element("p", basis, class_="soft") if basis else "",
    )


def contents(titles: Iterable[str]) -> str:
    """Links to the sections of a page."""
    links = [element("a", text(title), href=f"#{anchor(title)}") for title in titles]
    return element("nav", *links, aria_label="Contents")


def section(title: str, *content: str) -> str:
    return element("section", element("h2", text(title)), *content, id=anchor(title))


def anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, one a line."""
    return element("dl", *(element("dt", text(name)) + element("dd", text(fact)) for name, fact in pairs))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, caption: str = "") -> str:
    """Cells are markup; the first `words` columns hold words, the others numbers."""
    kinds = [None if index < words else "number" for index in range(len(head))]
    top = element("tr", *(element("th", one, scope="col", class_=kind) for one, kind in zip(head, kinds, strict=True)))
    lines = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    name = element("caption", text(caption)) if caption else ""
    made = element("table", name, element("thead", top), element("tbody", *lines))
    return element("div", made, class_="scroll", tabindex="0")


def folded(summary: str, *content: str) -> str:
    """What is long, behind its name."""
    return element("details", element("summary", text(summary)), *content)
