"""The learning curves as SVG: points of every seed, means with intervals, bands, and dashed forecasts."""

from vitrail.plots.formatting import count, percent, percent_range, plural
from vitrail.plots.markup import element, text
from vitrail.training.study.report.axes import crossings, forecast_area, grid, rectangle, targets
from vitrail.training.study.report.frame import Frame, Shape, View, frame, short
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.styles import style
from vitrail.training.study.statistics.findings import Contender, Curve, Forecast, Point

NAME_HEIGHT = 15
DODGE = 5  # horizontal distance between contenders at the same size


def chart(results: StudyResults, view: View, shape: Shape) -> str:
    at, forecast = frame(results, view, shape), results.forecast
    identity = f"{view}-{shape.name}"
    clip = element("clipPath", rectangle(at, at.left, at.right), id=f"{identity}-area")
    lines = [contender(results, at, index, identity) for index in range(len(forecast.contenders))]
    parts = [
        element("defs", clip),
        forecast_area(at, forecast.sizes[-1]),
        grid(at, view),
        targets(at, forecast),
        crossings(at, forecast),
        *lines,
        names(at, forecast) if shape.named else "",
        element("line", class_="cross", x1=0.0, x2=0.0, y1=at.top, y2=at.bottom, visibility="hidden"),
    ]
    return element(
        "svg",
        *parts,
        id=identity,
        class_=f"drawing {view} {shape.name}",
        viewBox=f"0 0 {shape.width:g} {shape.height:g}",
        role="img",
        aria_label=describe(results, view),
        data_left=f"{at.left / shape.width:.5f}",
        data_right=f"{at.right / shape.width:.5f}",
    )


def describe(results: StudyResults, view: View) -> str:
    what = "Test error" if view == "error" else "Test accuracy"
    sizes = results.forecast.sizes
    return (
        f"{what} of {', '.join(results.names)} against labelled images, measured from {count(sizes[0])} to "
        f"{count(sizes[-1])}; the tables below have the numbers"
    )


def contender(results: StudyResults, at: Frame, index: int, identity: str) -> str:
    one = results.forecast.contenders[index]
    shift = DODGE * (index - (len(results.names) - 1) / 2)
    inside: list[str] = []
    if one.curve:
        inside = curve_parts(at, one, one.curve, results.forecast.grid[: len(one.curve.error)])
    return element(
        "g",
        element("g", *inside, clip_path=f"url(#{identity}-area)"),
        *(seeds(results, at, one.name, point, shift, index) for point in one.points),
        *(mean(at, one.name, point, shift, index) for point in one.points),
        class_=f"c{index}",
    )


def curve_parts(at: Frame, one: Contender, curve: Curve, grid: tuple[float, ...]) -> list[str]:
    """A band and a line, split at the largest measured size."""
    last = one.points[-1].images
    split = max(i for i, images in enumerate(grid) if images <= last) + 1
    near = [
        band(at, grid[:split], curve.low[:split], curve.high[:split], "band"),
        path(at, grid[:split], curve.error[:split], "line"),
    ]
    if split == len(grid):  # no forecast
        return near
    far = slice(split - 1, None)
    return [
        *near,
        band(at, grid[far], curve.low[far], curve.high[far], "band far"),
        path(at, grid[far], curve.error[far], "line far"),
    ]


def band(at: Frame, grid: tuple[float, ...], low: tuple[float, ...], high: tuple[float, ...], kind: str) -> str:
    forwards = positions(at, grid, low)
    backwards = positions(at, grid, high)[::-1]
    return element("polygon", points=" ".join([*forwards, *backwards]), class_=kind)


def path(at: Frame, grid: tuple[float, ...], error: tuple[float, ...], kind: str) -> str:
    return element("polyline", points=" ".join(positions(at, grid, error)), class_=kind)


def positions(at: Frame, grid: tuple[float, ...], error: tuple[float, ...]) -> list[str]:
    return [f"{at.x(images):.1f},{at.y(share):.1f}" for images, share in zip(grid, error, strict=True)]


def seeds(results: StudyResults, at: Frame, name: str, point: Point, shift: float, index: int) -> str:
    """A small point for every run, with a link to its row."""
    parts = []
    for done in results.runs(name, point.images):
        assert done.result is not None
        title = element("title", text(f"{done.job.name}: test error {percent(done.result.test_error)}"))
        transform = f"translate({at.x(point.images) + shift:.1f} {at.y(done.result.test_error):.1f}) scale(.62)"
        shape = element("path", title, d=style(index).shape, transform=transform, class_="seed")
        parts.append(element("a", shape, href=f"#run-{done.job.name}", tabindex="-1"))
    return "".join(parts)


def mean(at: Frame, name: str, point: Point, shift: float, index: int) -> str:
    x = at.x(point.images) + shift
    title = element("title", text(point_text(name, point)))
    bar = element("line", x1=x, x2=x, y1=at.y(point.low), y2=at.y(point.high), class_="bar")
    kind = "mean limited" if point.limited else "mean"
    shape = element("path", d=style(index).shape, transform=f"translate({x:.1f} {at.y(point.error):.1f})", class_=kind)
    return element("g", title, bar, shape)


def point_text(name: str, point: Point) -> str:
    error = percent_range(point.error, point.low, point.high)
    limited = ", limited by budget" if point.limited else ""
    return f"{name}, {count(point.images)} images, {plural(point.seeds, 'seed')}{limited}: test error {error}"


def names(at: Frame, forecast: Forecast) -> str:
    """At the ends of curves, moved apart where they would overlap."""
    ends = sorted((at.y(end(one)), index) for index, one in enumerate(forecast.contenders) if one.points)
    parts, free = [], at.top
    for y, index in ends:
        y = max(y, free)
        free = y + NAME_HEIGHT
        name = short(forecast.contenders[index].name)
        parts.append(element("text", text(name), x=at.right + 8, y=y + 4, class_=f"name c{index}"))
    return "".join(parts)


def end(one: Contender) -> float:
    return one.curve.error[-1] if one.curve else one.points[-1].error
