"""The learning curves as SVG: points of every seed, means with intervals, bands, and what is only foretold, dashed."""

from dataclasses import dataclass
from typing import Literal

from vitrail.training.curves.findings import Contender, Curve, Forecast, Pair, Point
from vitrail.training.report.found import Found
from vitrail.training.report.looks import look
from vitrail.training.report.markup import element, text
from vitrail.training.report.scale import Axis, accuracy_axis, error_axis, pictures_axis
from vitrail.training.report.words import count, percent, percent_range, plural

View = Literal["error", "accuracy"]
LETTER = 7.4  # about as wide as one of 13 pixels
NAME_LETTERS = 14
LABEL = 56  # width that a number on the lower axis needs
LINE = 15  # between names of lines
DODGE = 5  # contenders stand so far beside each other


@dataclass(frozen=True)
class Frame:
    """A drawing of some size, and the area within it where curves are."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    across: Axis
    up: Axis

    def x(self, pictures: float) -> float:
        return self.left + (self.right - self.left) * self.across.place(pictures)

    def y(self, error: float) -> float:
        return self.bottom - (self.bottom - self.top) * min(max(self.up.place(error), -0.02), 1.02)


def frame(found: Found, view: View, width: float, height: float, named: bool) -> Frame:
    """With `named`, there is room for names at the ends of lines."""
    forecast = found.forecast
    longest = max(len(short(name)) for name in found.names)
    left, right = 54.0, width - (LETTER * longest + 16 if named else 12)
    low, high = extent(found)
    across = pictures_axis(forecast.sizes, forecast.grid[-1], LABEL / (right - left))
    up = error_axis(low, high) if view == "error" else accuracy_axis(0.0, high)
    return Frame(width, height, left, right, 26.0, height - 44, across, up)


def extent(found: Found) -> tuple[float, float]:
    """The lowest and the highest error that must be seen."""
    forecast = found.forecast
    points = [point for one in forecast.contenders for point in one.points]
    runs = [done.result.test_error for done in found.reported if done.result]
    ends = [one.curve.error[-1] for one in forecast.contenders if one.curve]
    floor = 0.5 / forecast.test_pictures
    low = min(max(value, floor) for value in [*(point.low for point in points), *ends])
    high = max([*(point.high for point in points), *runs])
    return low * 0.85, min(1.0, high * 1.12)


def short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"


def draw(found: Found, view: View, width: float, height: float, named: bool, identity: str) -> str:
    """One drawing; `identity` is its own on the page."""
    at = frame(found, view, width, height, named)
    forecast = found.forecast
    largest = forecast.sizes[-1]
    clip = element("clipPath", rectangle(at, at.left, at.right), id=f"{identity}-area")
    lines = "".join(contender(found, at, index, identity) for index in range(len(forecast.contenders)))
    parts = [
        element("defs", clip),
        foretold_area(at, largest),
        grid(at, view),
        targets(at, forecast),
        crossings(at, forecast),
        lines,
        names(at, forecast) if named else "",
        element("line", class_="cross", x1=0.0, x2=0.0, y1=at.top, y2=at.bottom, visibility="hidden"),
    ]
    return element(
        "svg",
        *parts,
        id=identity,
        class_=f"drawing {view} {'wide' if named else 'narrow'}",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=described(found, view),
        data_left=f"{at.left / width:.5f}",
        data_right=f"{at.right / width:.5f}",
    )


def described(found: Found, view: View) -> str:
    what = "Test error" if view == "error" else "Test accuracy"
    sizes = found.forecast.sizes
    return (
        f"{what} of {', '.join(found.names)} against labelled pictures, measured from {count(sizes[0])} to "
        f"{count(sizes[-1])}; the numbers stand in the tables below"
    )


def rectangle(at: Frame, left: float, right: float, **more: str) -> str:
    return element("rect", x=left, y=at.top, width=max(right - left, 0.0), height=at.bottom - at.top, **more)


def foretold_area(at: Frame, largest: int) -> str:
    """Beyond the largest size nothing was measured."""
    left = at.x(largest)
    if at.right - left < 1:
        return ""
    said = element("text", text("foretold"), x=(left + at.right) / 2, y=at.top - 8, text_anchor="middle", class_="soft")
    return rectangle(at, left, at.right, class_="beyond") + said


def grid(at: Frame, view: View) -> str:
    parts = []
    for error, word in at.up.ticks:
        y = at.y(error)
        parts.append(element("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="grid"))
        parts.append(element("text", text(word), x=at.left - 7, y=y + 4, text_anchor="end"))
    for pictures, word in at.across.ticks:
        x = at.x(pictures)
        parts.append(element("line", x1=x, x2=x, y1=at.bottom, y2=at.bottom + 5, class_="tick"))
        parts.append(element("text", text(word), x=x, y=at.bottom + 19, text_anchor="middle"))
    title = "labelled pictures, validation included"
    parts.append(element("line", x1=at.left, x2=at.right, y1=at.bottom, y2=at.bottom, class_="tick"))
    parts.append(element("text", title, x=(at.left + at.right) / 2, y=at.bottom + 38, text_anchor="middle", class_="soft"))
    parts.append(element("text", f"test {view}", x=2.0, y=at.top - 12, class_="soft"))
    return "".join(parts)


def targets(at: Frame, forecast: Forecast) -> str:
    """A faint line for every accuracy of which needs are told."""
    curve = next((one.curve for one in forecast.contenders if one.curve), None)
    goals = [need.accuracy for need in curve.needed] if curve else []
    parts = []
    for goal in goals:
        y = at.y(1 - goal)
        if at.top <= y <= at.bottom:
            parts.append(element("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="goal"))
            parts.append(element("text", f"{100 * goal:g} % right", x=at.left + 5, y=y - 4, class_="soft small"))
    return "".join(parts)


def crossings(at: Frame, forecast: Forecast) -> str:
    """On the lower axis, where lines cross: an interval, open to the side where nothing is known."""
    parts = []
    for index, pair in enumerate(one for one in forecast.pairs if one.crossing.kind == "between"):
        low, high = pair.crossing.low, pair.crossing.high
        if low is None or high is None:
            continue
        y = at.bottom - 7 - 12 * index
        x1, x2 = at.x(low), at.x(high)
        title = element("title", text(said_of_crossing(pair)))
        bar = element("path", d=f"M{x1:.1f} {y - 4:.1f}v8m0 -4H{x2:.1f}m0 -4v8")
        word = element("text", "they cross here", x=(x1 + x2) / 2, y=y - 8, text_anchor="middle", class_="small")
        parts.append(element("g", title, bar, word, class_="crossing"))
    return "".join(parts)


def said_of_crossing(pair: Pair) -> str:
    return f"{pair.first} and {pair.second} change places in here, with 90 % certainty"


def contender(found: Found, at: Frame, index: int, identity: str) -> str:
    one = found.forecast.contenders[index]
    shift = DODGE * (index - (len(found.names) - 1) / 2)
    inside: list[str] = []
    if one.curve:
        inside = curve(at, one, one.curve, found.forecast.grid)
    return element(
        "g",
        element("g", *inside, clip_path=f"url(#{identity}-area)"),
        *(seeds(found, at, one.name, point, shift, index) for point in one.points),
        *(mean(at, one.name, point, shift, index) for point in one.points),
        class_=f"c{index}",
    )


def curve(at: Frame, one: Contender, found: Curve, grid: tuple[float, ...]) -> list[str]:
    """A band and a line, split where the measured sizes end."""
    last = one.points[-1].pictures
    split = max(i for i, pictures in enumerate(grid) if pictures <= last) + 1
    return [
        band(at, grid[:split], found.low[:split], found.high[:split], "band"),
        band(at, grid[split - 1 :], found.low[split - 1 :], found.high[split - 1 :], "band far"),
        path(at, grid[:split], found.error[:split], "line"),
        path(at, grid[split - 1 :], found.error[split - 1 :], "line far"),
    ]


def band(at: Frame, grid: tuple[float, ...], low: tuple[float, ...], high: tuple[float, ...], kind: str) -> str:
    there = places(at, grid, low)
    back = places(at, grid, high)[::-1]
    return element("polygon", points=" ".join([*there, *back]), class_=kind)


def path(at: Frame, grid: tuple[float, ...], error: tuple[float, ...], kind: str) -> str:
    return element("polyline", points=" ".join(places(at, grid, error)), class_=kind)


def places(at: Frame, grid: tuple[float, ...], error: tuple[float, ...]) -> list[str]:
    return [f"{at.x(pictures):.1f},{at.y(share):.1f}" for pictures, share in zip(grid, error, strict=True)]


def seeds(found: Found, at: Frame, name: str, point: Point, shift: float, index: int) -> str:
    """Every run, small; each leads to its row."""
    parts = []
    for done in found.runs(name, point.pictures):
        assert done.result is not None
        title = element("title", text(f"{done.job.name}: test error {percent(done.result.test_error)}"))
        where = f"translate({at.x(point.pictures) + shift:.1f} {at.y(done.result.test_error):.1f}) scale(.62)"
        shape = element("path", title, d=look(index).shape, transform=where, class_="seed")
        parts.append(element("a", shape, href=f"#run-{done.job.name}", tabindex="-1"))
    return "".join(parts)


def mean(at: Frame, name: str, point: Point, shift: float, index: int) -> str:
    x = at.x(point.pictures) + shift
    title = element("title", text(told(name, point)))
    bar = element("line", x1=x, x2=x, y1=at.y(point.low), y2=at.y(point.high), class_="bar")
    shape = element("path", d=look(index).shape, transform=f"translate({x:.1f} {at.y(point.error):.1f})", class_="mean")
    return element("g", title, bar, shape)


def told(name: str, point: Point) -> str:
    error = percent_range(point.error, point.low, point.high)
    return f"{name}, {count(point.pictures)} pictures, {plural(point.seeds, 'seed')}: test error {error}"


def names(at: Frame, forecast: Forecast) -> str:
    """At the ends of lines, pushed apart where they would cover each other."""
    ends = sorted((at.y(end(one)), index) for index, one in enumerate(forecast.contenders) if one.points)
    parts, free = [], at.top
    for y, index in ends:
        y = max(y, free)
        free = y + LINE
        name = short(forecast.contenders[index].name)
        parts.append(element("text", text(name), x=at.right + 8, y=y + 4, class_=f"name c{index}"))
    return "".join(parts)


def end(one: Contender) -> float:
    return one.curve.error[-1] if one.curve else one.points[-1].error
