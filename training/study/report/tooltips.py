"""What the page says where a reader points at the curves: places on the lower axis, and every contender's numbers."""

from typing import Any

from vitrail.training.study.report.back_test import off
from vitrail.training.study.report.formatting import bare, chance, count, decimals, percent_range
from vitrail.training.study.report.results import Found
from vitrail.training.study.report.scale import images_axis
from vitrail.training.study.report.sections.comparison import beyond, leader, sureness
from vitrail.training.study.statistics.findings import Contender, Pair
from vitrail.training.study.statistics.recommendation import about

Plain = dict[str, Any]


def stops(found: Found) -> list[Plain]:
    """One for every place of the grid; `key` marks those at which arrow keys stop."""
    forecast = found.forecast
    place = images_axis(forecast.sizes, forecast.grid[-1], 1).place
    keys = {*(float(size) for size in forecast.sizes), *(forecast.grid[index] for index in beyond(forecast))}
    return [
        {
            "place": round(place(images), 5),
            "title": title(images, forecast.sizes),
            "key": images in keys,
            "measured": images in forecast.sizes,
            "pairs": [lead(pair, index, images) for pair in forecast.pairs],
            "rows": [row(found, one, index) for one in forecast.contenders],
        }
        for index, images in enumerate(forecast.grid)
    ]


def title(images: float, sizes: tuple[int, ...]) -> str:
    if images in sizes:
        return f"{count(images)} images, measured"
    return f"{about(images)} images, {'foretold' if images > sizes[-1] else 'by the curve'}"


def row(found: Found, one: Contender, index: int) -> Plain | None:
    """Error and accuracy in words, and what the seeds reached; None where nothing is known."""
    images = found.forecast.grid[index]
    point = next((each for each in one.points if each.images == images), None)
    if point is not None:
        results = [done.result for done in found.runs(one.name, point.images)]
        errors = [result.test_error for result in results if result]
        return both(point.error, point.low, point.high) | {"seeds": [seed(error) for error in errors]}
    if one.curve is None:
        return None
    return both(one.curve.error[index], one.curve.low[index], one.curve.high[index]) | note(one, images)


def note(one: Contender, images: float) -> Plain:
    """Beside whatever is foretold."""
    if images <= one.points[-1].images:
        return {}
    return {"note": f"back-test: {off(one)} points off" if one.back_test else "without a back-test"}


def lead(pair: Pair, index: int, images: float) -> Plain | None:
    """Who of two is ahead here, and how surely: as measured where both were, else as foretold."""
    point = next((one for one in pair.measured if one.images == images), None)
    if point is not None:
        gap, first_ahead = point.gap, point.first_ahead
    elif pair.gap:
        gap, first_ahead = pair.gap[index], pair.first_ahead[index]
    else:
        return None
    words = f"{leader(pair, gap)} ahead, {chance(sureness(first_ahead, gap))} sure"
    return {"of": [pair.first, pair.second], "words": words}


def both(error: float, low: float, high: float) -> Plain:
    return {"error": percent_range(error, low, high), "accuracy": percent_range(1 - error, 1 - high, 1 - low)}


def seed(error: float) -> list[str]:
    """As an error, and as an accuracy."""
    return [bare(share, decimals(share)) for share in (error, 1 - error)]
