"""Where things lie on a drawing of the curves: its shape, its axes, and what must be seen."""

from dataclasses import dataclass
from typing import Literal

from vitrail.training.study.report.results import Found
from vitrail.training.study.report.scale import Axis, accuracy_axis, error_axis, images_axis

View = Literal["error", "accuracy"]
LETTER = 7.4  # about as wide as one of 13 pixels
NAME_LETTERS = 14
LABEL = 56  # width that a number on the lower axis needs


@dataclass(frozen=True)
class Shape:
    """One for desks and paper, with names at the ends of lines, and one for phones."""

    name: str
    width: float
    height: float
    named: bool


WIDE, NARROW = Shape("wide", 860, 460, True), Shape("narrow", 360, 380, False)


@dataclass(frozen=True)
class Frame:
    """The area of a drawing within which curves are."""

    left: float
    right: float
    top: float
    bottom: float
    across: Axis
    up: Axis

    def x(self, images: float) -> float:
        return self.left + (self.right - self.left) * self.across.place(images)

    def y(self, error: float) -> float:
        """Never far outside, wherever an error would lie."""
        return self.bottom - (self.bottom - self.top) * min(max(self.up.place(error), -0.02), 1.02)


def frame(found: Found, view: View, shape: Shape) -> Frame:
    forecast = found.forecast
    longest = max(len(short(name)) for name in found.names)
    left, right = 54.0, shape.width - (LETTER * longest + 16 if shape.named else 22)
    low, high = extent(found)
    across = images_axis(forecast.sizes, forecast.grid[-1], LABEL / (right - left))
    up = error_axis(low, high) if view == "error" else accuracy_axis(0.0, high)
    return Frame(left, right, 30.0, shape.height - 44, across, up)


def extent(found: Found) -> tuple[float, float]:
    """The lowest and the highest error that must be seen."""
    forecast = found.forecast
    points = [point for one in forecast.contenders for point in one.points]
    runs = [done.result.test_error for done in found.reported if done.result]
    ends = [one.curve.error[-1] for one in forecast.contenders if one.curve]
    floor = 0.5 / forecast.test_images
    low = min(max(value, floor) for value in [*(point.low for point in points), *ends])
    high = max([*(point.high for point in points), *runs])
    return low * 0.75, min(1.0, high * 1.12)


def short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
