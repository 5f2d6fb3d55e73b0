"""The images needed for a target accuracy, the gain of the next ones, and the back-test of such forecasts."""

from collections.abc import Callable

from vitrail.plots.formatting import count, listed, percent, percent_range, points, points_range
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.statistics.findings import Contender, Curve, Forecast
from vitrail.training.study.statistics.images_needed import ImagesNeeded, NextImages, next_count
from vitrail.training.study.statistics.recommendation import about


def images_needed(forecast: Forecast) -> Section:
    blocks: list[Block] = [
        "Forecast from the fitted curves, with 90 % intervals: how many images it takes if the curves go on as they "
        "do, which no measurement can tell. The back-test in the last rows holds out the largest size and forecasts it "
        "from the smaller ones."
    ]
    blocks += [f"No forecast of {one.name}: {one.refused}." for one in forecast.contenders if one.refused]
    blocks += [table(forecast)]
    if any(one.curve for one in forecast.contenders):
        blocks += [laws(forecast)]
    return Section("images-needed", "Images needed", tuple(blocks))


def table(forecast: Forecast) -> Table:
    contenders, more = forecast.contenders, next_count(forecast.sizes[-1])
    targets = next((one.curve.images_needed for one in contenders if one.curve), ())
    rows = [
        Row((f"Images for {100 * target.accuracy:g} % accuracy", *each(contenders, needed(i, forecast))))
        for i, target in enumerate(targets)
    ]
    rows.append(Row((f"Gain of the next {count(more)}, points", *each(contenders, next_images(more)))))
    rows.append(Row(("Back-test: forecast of the largest size", *(back_test_cells(one)[0] for one in contenders))))
    rows.append(Row(("Back-test: measured", *(back_test_cells(one)[1] for one in contenders))))
    rows.append(Row(("Back-test: off by, points", *(back_test_cells(one)[2] for one in contenders))))
    return Table("The value of more labelled images", ("Question", *(one.name for one in contenders)), tuple(rows))


def each(contenders: tuple[Contender, ...], cell: Callable[[Curve], str]) -> list[str]:
    return [cell(one.curve) if one.curve else "no forecast" for one in contenders]


def needed(index: int, forecast: Forecast) -> Callable[[Curve], str]:
    return lambda curve: images_cell(curve.images_needed[index], forecast, forecast.end_of(curve))


def images_cell(need: ImagesNeeded, forecast: Forecast, last: float) -> str:
    """The number and its interval; the smallest size stands for itself and all below it."""
    first, end = forecast.sizes[0], about(last)
    if need.images is None and last <= forecast.sizes[-1]:
        return f"no forecast beyond {end}"
    low = f"from {bounded(need.low, first)}" if need.low is not None else ""
    if need.images is None:
        return f"not within {end}" + (f" (at best {low})" if low else "")
    high = f"{low} to {bounded(need.high, first)}" if need.high is not None else f"{low} to beyond {end}"
    return f"{bounded(need.images, first)} ({high.removeprefix('from ')})"


def bounded(size: float, first: int) -> str:
    return f"≤ {count(first)}" if size <= first else about(size)


def next_images(more: int) -> Callable[[Curve], str]:
    return lambda curve: gain_cell(curve.next_images, more)


def gain_cell(gain: NextImages | None, more: int) -> str:
    """The number is named only if it is another, of a contender without runs at the largest size."""
    if gain is None:
        return "beyond reach"
    text = points_range(gain.gain, gain.low, gain.high)
    return text if gain.images == more else f"{text} of {count(gain.images)}"


def back_test_cells(one: Contender) -> tuple[str, str, str]:
    """Forecast, measured, off by."""
    test = one.back_test
    if test is None:
        return "no back-test", "–", "–"
    forecast = percent_range(test.forecast, test.low, test.high)
    return f"{forecast} error at {count(test.images)}", f"{percent(test.measured)} error", points(test.off)


def back_test_text(forecast: Forecast) -> str:
    """The back-tests of all contenders in one sentence, shown beside every forecast."""
    tested = [one for one in forecast.contenders if one.back_test]
    if not tested:
        return "No back-test: there are too few sizes to hold one out, so the quality of forecasts is unknown."
    offs = [f"{one.name} off by {off(one)} points{tested_size(one, forecast)}" for one in tested]
    common = f" at {count(forecast.sizes[-1])} images" if not any(tested_size(one, forecast) for one in tested) else ""
    return f"Back-test, the largest size held out and forecast from the others: {listed(offs)}{common}."


def off(one: Contender) -> str:
    return points(one.back_test.off) if one.back_test else "unknown"


def tested_size(one: Contender, forecast: Forecast) -> str:
    """Named only if a contender's largest size is not that of the study."""
    if one.back_test is None or one.back_test.images == forecast.sizes[-1]:
        return ""
    return f" at {count(one.back_test.images)} images"


def laws(forecast: Forecast) -> Table:
    """The laws in each averaged curve."""
    rows = [
        Row((one.name, law.name, law.formula, f"{100 * law.weight:.0f} %", parameters(law.numbers)))
        for one in forecast.contenders
        if one.curve
        for law in one.curve.laws
    ]
    head = ("Contender", "Law of error", "With x = images / the largest size", "Weight", "Parameters")
    return Table("The laws behind the curves", head, tuple(rows), folded=True)


def parameters(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in numbers.items())
