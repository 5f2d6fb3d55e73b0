"""Tables as HTML: wide ones scroll by themselves, long ones open."""

from vitrail.training.study.report.blocks import Cell, Link, Row, Table
from vitrail.training.study.report.markup import element, text

DIGITS = set("0123456789<>≤+−–")  # what a cell of a column of numbers begins with


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
    return ", ".join(element("a", text(link.text), href=address(link)) for link in one)


def address(link: Link) -> str:
    return f"#run-{link.run}" if link.on_page else link.file


def is_number(one: Cell) -> bool:
    return isinstance(one, str) and one[:1] in DIGITS


def kind(numeric: bool) -> str | None:
    return "number" if numeric else None
