"""How many images a wanted accuracy takes, what the next thousand bring, and how good such forecasts were here."""

from collections.abc import Callable

from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.formatting import count, percent, percent_range, points, points_range
from vitrail.training.study.statistics.findings import Contender, Curve, Forecast
from vitrail.training.study.statistics.images_needed import NEXT, Needed
from vitrail.training.study.statistics.recommendation import about


def needs(forecast: Forecast) -> Section:
    blocks: list[Block] = [
        f"Foretold from the fitted curves, with 90 % intervals, as far as {about(forecast.grid[-1])} images and no "
        "further. The last rows say how good such a forecast was here: the largest size was hidden, foretold from the "
        "smaller ones, and then looked at."
    ]
    refused = [one for one in forecast.contenders if one.ill_behaved]
    blocks += [f"No forecast of {one.name}: {one.ill_behaved}." for one in refused]
    blocks += [table(forecast)]
    if any(one.curve for one in forecast.contenders):
        blocks += [laws(forecast)]
    return Section("needs", "How many more images", tuple(blocks))


def table(forecast: Forecast) -> Table:
    contenders = forecast.contenders
    targets = next((one.curve.needed for one in contenders if one.curve), ())
    rows = [
        Row((f"Images for {100 * need.accuracy:g} % right", *each(contenders, wanted(i, forecast))))
        for i, need in enumerate(targets)
    ]
    rows.append(Row((f"The next {count(NEXT)} bring, points", *each(contenders, next_images))))
    rows.append(Row(("Back-test: largest size foretold", *(tested(one)[0] for one in contenders))))
    rows.append(Row(("Back-test: measured there", *(tested(one)[1] for one in contenders))))
    rows.append(Row(("Back-test: off by, points", *(tested(one)[2] for one in contenders))))
    return Table("What more labelled images bring", ("Question", *(one.name for one in contenders)), tuple(rows))


def each(contenders: tuple[Contender, ...], word: Callable[[Curve], str]) -> list[str]:
    return [word(one.curve) if one.curve else "no forecast" for one in contenders]


def wanted(index: int, forecast: Forecast) -> Callable[[Curve], str]:
    return lambda curve: images(curve.needed[index], forecast)


def images(need: Needed, forecast: Forecast) -> str:
    """About how many, and the interval; the smallest size stands for itself and all below it."""
    first, end = forecast.sizes[0], about(forecast.grid[-1])
    low = f"from {at(need.low, first)}" if need.low is not None else ""
    if need.images is None:
        return f"not within {end}" + (f" (with luck {low})" if low else "")
    high = f"{low} to {at(need.high, first)}" if need.high is not None else f"{low} to beyond {end}"
    return f"{at(need.images, first)} ({high.removeprefix('from ')})"


def at(size: float, first: int) -> str:
    return f"≤ {count(first)}" if size <= first else about(size)


def next_images(curve: Curve) -> str:
    found = curve.next_images
    return "beyond reach" if found is None else points_range(found.gain, found.low, found.high)


def tested(one: Contender) -> tuple[str, str, str]:
    """Foretold, measured, off by."""
    found = one.back_test
    if found is None:
        return "no back-test", "–", "–"
    told = percent_range(found.foretold, found.low, found.high)
    return f"{told} error at {count(found.images)}", f"{percent(found.measured)} error", points(found.off)


def laws(forecast: Forecast) -> Table:
    """What each averaged curve is made of."""
    rows = [
        Row((one.name, law.name, law.formula, f"{100 * law.weight:.0f} %", numbers(law.numbers)))
        for one in forecast.contenders
        if one.curve
        for law in one.curve.laws
    ]
    head = ("Contender", "Law of error", "With x = images / the largest size", "Weight", "Numbers")
    return Table("The laws behind the curves", head, tuple(rows), folded=True)


def numbers(found: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in found.items())
