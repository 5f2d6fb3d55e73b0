"""The coordinates of a chart: its shape, its axes, and the range of errors."""

from dataclasses import dataclass
from typing import Literal

from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.scale import Axis, accuracy_axis, error_axis, images_axis

View = Literal["error", "accuracy"]
LETTER_WIDTH = 7.4  # approximate, at a font size of 13 pixels
MAX_NAME = 14  # letters
LABEL_WIDTH = 56  # of a number on the lower axis


@dataclass(frozen=True)
class Shape:
    """A wide shape for screens and paper, with names at the ends of curves, and a narrow one for phones."""

    name: str
    width: float
    height: float
    named: bool


WIDE, NARROW = Shape("wide", 860, 460, True), Shape("narrow", 360, 380, False)


@dataclass(frozen=True)
class Frame:
    """The plot area of a chart."""

    left: float
    right: float
    top: float
    bottom: float
    across: Axis
    up: Axis

    def x(self, images: float) -> float:
        return self.left + (self.right - self.left) * self.across.position(images)

    def y(self, error: float) -> float:
        """Clipped just outside the plot area."""
        return self.bottom - (self.bottom - self.top) * min(max(self.up.position(error), -0.02), 1.02)


def frame(results: StudyResults, view: View, shape: Shape) -> Frame:
    forecast = results.forecast
    longest = max(len(short(name)) for name in results.names)
    left, right = 54.0, shape.width - (LETTER_WIDTH * longest + 16 if shape.named else 22)
    low, high = extent(results)
    across = images_axis(forecast.sizes, forecast.grid[-1], LABEL_WIDTH / (right - left))
    up = error_axis(low, high) if view == "error" else accuracy_axis(0.0, high)
    return Frame(left, right, 30.0, shape.height - 44, across, up)


def extent(results: StudyResults) -> tuple[float, float]:
    """The lowest and the highest error to show."""
    forecast = results.forecast
    points = [point for one in forecast.contenders for point in one.points]
    runs = [done.result.test_error for done in results.reported if done.result]
    ends = [one.curve.error[-1] for one in forecast.contenders if one.curve]
    floor = 0.5 / forecast.test_images
    low = min(max(value, floor) for value in [*(point.low for point in points), *ends])
    high = max([*(point.high for point in points), *runs])
    return low * 0.75, min(1.0, high * 1.12)


def short(name: str) -> str:
    """Variants of a contender begin alike, and differ at the end."""
    if len(name) <= MAX_NAME:
        return name
    return f"…{name[1 - MAX_NAME :]}" if "=" in name else f"{name[: MAX_NAME - 1]}…"
