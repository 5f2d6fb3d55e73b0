"""The drawing around the curves: axes, target accuracies, crossings, and the area of the forecast."""

from vitrail.plots.markup import element, text
from vitrail.training.study.report.frame import Frame, View
from vitrail.training.study.statistics.findings import Forecast, Pair


def forecast_area(at: Frame, largest: int) -> str:
    """The area beyond the largest measured size."""
    left = at.x(largest)
    if at.right - left < 1:
        return ""
    middle = (left + at.right) / 2
    label = element("text", text("forecast"), x=middle, y=at.top - 8, text_anchor="middle", class_="soft")
    return rectangle(at, left, at.right, class_="beyond") + label


def rectangle(at: Frame, left: float, right: float, **more: str) -> str:
    return element("rect", x=left, y=at.top, width=max(right - left, 0.0), height=at.bottom - at.top, **more)


def grid(at: Frame, view: View) -> str:
    parts = []
    for error, label in at.up.ticks:
        y = at.y(error)
        parts.append(element("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="grid"))
        parts.append(element("text", text(label), x=at.left - 7, y=y + 4, text_anchor="end"))
    for images, label in at.across.ticks:
        x = at.x(images)
        parts.append(element("line", x1=x, x2=x, y1=at.bottom, y2=at.bottom + 5, class_="tick"))
        parts.append(element("text", text(label), x=x, y=at.bottom + 19, text_anchor="middle"))
    title, middle = "labelled images, validation included", (at.left + at.right) / 2
    parts.append(element("line", x1=at.left, x2=at.right, y1=at.bottom, y2=at.bottom, class_="tick"))
    parts.append(element("text", title, x=middle, y=at.bottom + 38, text_anchor="middle", class_="soft"))
    parts.append(element("text", f"test {view}", x=2.0, y=at.top - 12, class_="soft"))
    return "".join(parts)


def targets(at: Frame, forecast: Forecast) -> str:
    """A faint line for every target accuracy."""
    curve = next((one.curve for one in forecast.contenders if one.curve), None)
    accuracies = [need.accuracy for need in curve.images_needed] if curve else []
    parts = []
    for accuracy in accuracies:
        y = at.y(1 - accuracy)
        if 0.02 <= at.up.position(1 - accuracy) <= 1:
            label = f"{100 * accuracy:g} % accuracy"
            parts.append(element("line", x1=at.left, x2=at.right, y1=y, y2=y, class_="target"))
            parts.append(element("text", label, x=at.left + 5, y=y - 4, class_="soft small"))
    return "".join(parts)


def crossings(at: Frame, forecast: Forecast) -> str:
    """The intervals of crossings, above the lower axis."""
    parts = []
    for index, pair in enumerate(one for one in forecast.pairs if one.crossing.kind == "between"):
        low, high = pair.crossing.low, pair.crossing.high
        if low is None or high is None:
            continue
        y = at.bottom - 7 - 12 * index
        x1, x2 = at.x(low), at.x(high)
        title = element("title", text(crossing_text(pair)))
        bar = element("path", d=f"M{x1:.1f} {y - 4:.1f}v8m0 -4H{x2:.1f}m0 -4v8")
        label = element("text", "crossing", x=(x1 + x2) / 2, y=y - 8, text_anchor="middle", class_="small")
        parts.append(element("g", title, bar, label, class_="crossing"))
    return "".join(parts)


def crossing_text(pair: Pair) -> str:
    return f"{pair.first} and {pair.second} cross in this 97 % interval"
