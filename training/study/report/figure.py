"""The figure of the page: charts in two views and two shapes, and the controls to choose one."""

from vitrail.plots.markup import element, text, void
from vitrail.training.study.report.chart import chart
from vitrail.training.study.report.frame import NARROW, WIDE, View
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.styles import swatch

VIEWS: tuple[tuple[View, str], ...] = (("error", "Error, log scale"), ("accuracy", "Accuracy"))


def figure(caption: str, results: StudyResults) -> str:
    """The style sheet shows one chart at a time, without a script."""
    charts = [chart(results, view, shape) for view, _ in VIEWS for shape in (WIDE, NARROW)]
    plot = element("div", *charts, class_="plot", id="plot")
    readout = element("div", class_="readout", id="readout", hidden="hidden", aria_live="polite")
    return element("figure", choices(results), plot, readout, element("figcaption", text(caption)))


def choices(results: StudyResults) -> str:
    """Controls for the visible contenders and the view."""
    shown = [
        element("label", box(f"show-{index}", checked=True), swatch(index), element("span", text(name)))
        for index, name in enumerate(results.names)
    ]
    views = [
        element("label", box(f"view-{view}", view == VIEWS[0][0], "view"), element("span", text(label)))
        for view, label in VIEWS
    ]
    return element(
        "div",
        element("fieldset", element("legend", "Contenders"), *shown),
        element("fieldset", element("legend", "View"), *views),
        class_="choices",
    )


def box(identity: str, checked: bool, group: str | None = None) -> str:
    """A checkbox; with a group, a radio button."""
    return void(
        "input",
        type="radio" if group else "checkbox",
        name=group,
        id=identity,
        checked="checked" if checked else None,
        autocomplete="off",
    )
