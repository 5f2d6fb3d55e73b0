"""The tooltips of the curves: positions on the lower axis, with the numbers of every contender."""

from typing import Any

from vitrail.plots.formatting import bare, count, decimals, percent_range, probability
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.scale import images_axis
from vitrail.training.study.report.sections.comparison import beyond, leader, leader_probability
from vitrail.training.study.report.sections.images_needed import off
from vitrail.training.study.statistics.findings import Contender, Pair
from vitrail.training.study.statistics.recommendation import about

Plain = dict[str, Any]


def tooltips(results: StudyResults) -> list[Plain]:
    """One for every point of the grid; `key` marks those at which arrow keys stop."""
    forecast = results.forecast
    position = images_axis(forecast.sizes, forecast.grid[-1], 1).position
    keys = {*(float(size) for size in forecast.sizes), *(forecast.grid[index] for index in beyond(forecast))}
    return [
        {
            "place": round(position(images), 5),
            "title": title(images, forecast.sizes),
            "key": images in keys,
            "measured": images in forecast.sizes,
            "pairs": [lead(pair, index, images) for pair in forecast.pairs],
            "rows": [row(results, one, index) for one in forecast.contenders],
        }
        for index, images in enumerate(forecast.grid)
    ]


def title(images: float, sizes: tuple[int, ...]) -> str:
    if images in sizes:
        return f"{count(images)} images, measured"
    return f"{about(images)} images, {'forecast' if images > sizes[-1] else 'fitted'}"


def row(results: StudyResults, one: Contender, index: int) -> Plain | None:
    """Error and accuracy as text, with those of the seeds; None without data."""
    images = results.forecast.grid[index]
    point = next((each for each in one.points if each.images == images), None)
    if point is not None:
        errors = [done.result.test_error for done in results.runs(one.name, point.images) if done.result]
        return both(point.error, point.low, point.high) | {"seeds": [seed(error) for error in errors]}
    if one.curve is None or index >= len(one.curve.error):
        return None
    return both(one.curve.error[index], one.curve.low[index], one.curve.high[index]) | note(one, images)


def note(one: Contender, images: float) -> Plain:
    """The back-test, for a forecast."""
    if images <= one.points[-1].images:
        return {}
    return {"note": f"back-test: {off(one)} points off" if one.back_test else "without a back-test"}


def lead(pair: Pair, index: int, images: float) -> Plain | None:
    """Which of the two is ahead, with its probability: measured if both are, else from the curves."""
    point = next((one for one in pair.measured if one.images == images), None)
    if point is not None:
        gap, first_ahead = point.gap, point.first_ahead
    elif index < len(pair.gap):
        gap, first_ahead = pair.gap[index], pair.first_ahead[index]
    else:
        return None
    text = f"{leader(pair, gap)} ahead, probability {probability(leader_probability(first_ahead, gap))}"
    return {"of": [pair.first, pair.second], "text": text}


def both(error: float, low: float, high: float) -> Plain:
    return {"error": percent_range(error, low, high), "accuracy": percent_range(1 - error, 1 - high, 1 - low)}


def seed(error: float) -> list[str]:
    """As error and as accuracy."""
    return [bare(share, decimals(share)) for share in (error, 1 - error)]
