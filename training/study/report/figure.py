"""The figure of the page: the curves in both views and both shapes, and what chooses between them."""

from vitrail.training.study.report.chart import draw
from vitrail.training.study.report.frame import NARROW, WIDE, View
from vitrail.training.study.report.markup import element, text, void
from vitrail.training.study.report.results import Found
from vitrail.training.study.report.styles import swatch

VIEWS: tuple[tuple[View, str], ...] = (("error", "Error, log scale"), ("accuracy", "Accuracy"))


def figure(caption: str, found: Found) -> str:
    """Which drawing is seen is a matter of the style sheet: all of this works without a script."""
    drawings = [draw(found, view, shape) for view, _ in VIEWS for shape in (WIDE, NARROW)]
    plot = element("div", *drawings, class_="plot", id="plot")
    readout = element("div", class_="readout", id="readout", hidden="hidden", aria_live="polite")
    return element("figure", choices(found), plot, readout, element("figcaption", text(caption)))


def choices(found: Found) -> str:
    """Which contenders, and which view."""
    shown = [
        element("label", box(f"show-{index}", checked=True), swatch(index), element("span", text(name)))
        for index, name in enumerate(found.names)
    ]
    views = [
        element("label", box(f"view-{view}", view == VIEWS[0][0], "view"), element("span", text(word)))
        for view, word in VIEWS
    ]
    return element(
        "div",
        element("fieldset", element("legend", "Contenders"), *shown),
        element("fieldset", element("legend", "View"), *views),
        class_="choices",
    )


def box(identity: str, checked: bool, group: str | None = None) -> str:
    """Something to tick; with a group, only one of it is."""
    return void(
        "input",
        type="radio" if group else "checkbox",
        name=group,
        id=identity,
        checked="checked" if checked else None,
        autocomplete="off",
    )
