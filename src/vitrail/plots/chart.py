"""A line chart: numbers over the steps of training, drawn as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrail.plots.dots import tick_step
from vitrail.plots.formatting import count
from vitrail.plots.markup import element, text

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 40
MOST_POINTS = 400  # of a line; of more, means are drawn
LEAST_RANGE = 0.01  # of an axis: a line that is level stays so


@dataclass(frozen=True)
class Line:
    """Points (step, value) with a name, which a chart of one line does not show."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scale:
    """From numbers to places along one side of the chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        step = tick_step(self.high - self.low)
        first, last = int(np.ceil(self.low / step - 1e-9)), int(np.floor(self.high / step + 1e-9))
        return [index * step for index in range(first, last + 1)]


def line_chart(caption: str, lines: Sequence[Line], is_share: bool = False) -> str:
    """Lines over the same steps; shares are written in per cent."""
    drawn = [Line(line.name, thinned(line.points)) for line in lines]
    steps, values = (np.array([point[i] for line in drawn for point in line.points]) for i in (0, 1))
    x = Scale(0.0, float(steps.max()), LEFT, WIDTH - RIGHT)
    low, high = float(values.min()), float(values.max())
    room = max((high - low) / 20, LEAST_RANGE / 2)
    y = Scale(low - room, high + room, HEIGHT - BOTTOM, TOP)
    drawing = element(
        "svg",
        element("title", text(caption)),
        *(level(y, value, is_share) for value in y.ticks),
        *(mark(x, value) for value in x.ticks),
        element("text", "steps", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle", class_="axis"),
        *(polyline(x, y, line, index) for index, line in enumerate(drawn)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    names = [element("span", text(line.name), class_=f"key line{index}") for index, line in enumerate(drawn)]
    legend = " ".join(names) if len(names) > 1 else ""
    means = f", means of up to {group_size(lines)} steps that were logged" if group_size(lines) > 1 else ""
    return element("figure", drawing, element("figcaption", text(caption + means), " ", legend), class_="chart")


def group_size(lines: Sequence[Line]) -> int:
    return max(-(-len(line.points) // MOST_POINTS) for line in lines)


def thinned(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """At most so many points: the last step and the mean value of each group of neighbours."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    groups = (points[begin : begin + size] for begin in range(0, len(points), size))
    return tuple((group[-1][0], sum(value for _, value in group) / len(group)) for group in groups)


def polyline(x: Scale, y: Scale, line: Line, index: int) -> str:
    places = [(x(step), y(value)) for step, value in line.points]
    if len(places) == 1:
        return element("circle", cx=places[0][0], cy=places[0][1], r=3, class_=f"point line{index}")
    return element("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in places), class_=f"curve line{index}")


def level(y: Scale, value: float, is_share: bool) -> str:
    shown = f"{100 * value:.4g} %" if is_share else f"{value:.4g}" if abs(value) < 1000 else count(value)
    line = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid")
    return line + element("text", text(shown), x=LEFT - 8, y=y(value) + 4, text_anchor="end", class_="axis")


def mark(x: Scale, value: float) -> str:
    return element("text", count(value), x=x(value), y=HEIGHT - BOTTOM + 18, text_anchor="middle", class_="axis")
