"""A reliability diagram: how many decisions of each confidence are correct, beside the diagonal of perfect ones."""

from collections.abc import Sequence
from typing import Protocol

from vitrail.plots.chart import Scale
from vitrail.plots.markup import element, text

SIDE, MARGIN, BELOW = 260, 44, 40
CAPTION = "Share of correct decisions by their probability; on the dashed line both are equal"


class Bin(Protocol):
    """Decisions of one range of confidence."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def decisions(self) -> int: ...
    @property
    def accuracy(self) -> float: ...


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """A bar for each bin that has decisions."""
    x, y = Scale(0.0, 1.0, MARGIN, MARGIN + SIDE), Scale(0.0, 1.0, 10 + SIDE, 10)
    drawing = element(
        "svg",
        element("title", text(CAPTION)),
        *(tick(x, y, share / 4) for share in range(5)),
        *(bar(x, y, one) for one in bins if one.decisions),
        element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="even"),
        element("text", "probability", x=x(0.5), y=SIDE + BELOW + 6, text_anchor="middle", class_="axis"),
        viewBox=f"0 0 {MARGIN + SIDE + 14} {SIDE + BELOW + 12}",
        role="img",
    )
    return element("figure", drawing, element("figcaption", text(CAPTION)), class_="chart square")


def tick(x: Scale, y: Scale, share: float) -> str:
    line = element("line", x1=x(0), x2=x(1), y1=y(share), y2=y(share), class_="grid")
    left = element("text", f"{share:g}", x=x(0) - 8, y=y(share) + 4, text_anchor="end", class_="axis")
    below = element("text", f"{share:g}", x=x(share), y=y(0) + 18, text_anchor="middle", class_="axis")
    return line + left + below


def bar(x: Scale, y: Scale, one: Bin) -> str:
    title = element("title", text(f"{one.decisions:,} decisions, {one.accuracy:.3f} correct"))
    place = {"x": x(one.low), "y": y(one.accuracy), "width": x(one.high) - x(one.low), "height": y(0) - y(one.accuracy)}
    return element("rect", title, class_="bin line0", **place)
