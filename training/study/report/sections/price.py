"""What more images and trainings take: labels and time, in money where their prices are given."""

from statistics import fmean, linear_regression

from vitrail.plots.formatting import count, listed, money, plural, points_range, seconds
from vitrail.training.study.jobs import FinishedRun
from vitrail.training.study.prices import CURRENCY, Prices
from vitrail.training.study.report.blocks import Facts, Section
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.findings import Contender
from vitrail.training.study.statistics.images_needed import next_count
from vitrail.training.study.statistics.recommendation import IF, about, by_error, images_for, next_need

ASSUMED = (
    "Every label costs the same. A training’s time is on the straight line through the measured times of its "
    "contender, on the same machine with as many runs at a time; it is of one training, without tries of learning "
    "rates. Hours are those of one worker, without its start."
)
HINT = " `vitrail study --report FOLDER --label-cost 0.05 --hour-cost 0.4` adds what they cost."


def price(results: StudyResults) -> Section | None:
    ranked = by_error(results.forecast)
    if not ranked:
        return None
    if not results.has_curves:
        return Section("price", "Price", (Facts((spent(results),)),))
    facts = (next_images(results, ranked), *next_target(results, ranked[0]), training(results, ranked), spent(results))
    return Section("price", "Price", (Facts(facts), ASSUMED + ("" if results.prices.are_given else HINT)))


def price_clause(results: StudyResults) -> str:
    """What the next images cost, and what the best contender gains by them; empty without prices."""
    ranked, prices = by_error(results.forecast), results.prices
    if not ranked or not prices.are_given:
        return ""
    best, more = ranked[0], next_count(results.forecast.sizes[-1])
    size, costs = results.forecast.sizes[-1] + more, []
    if prices.label is not None:
        costs.append(f"{count(more)} more images{of_labels(more, prices)}")
    if prices.hour is not None:
        run = expected_seconds(results.reported, best.name, size)
        costs.append(f"a training of {best.name} with {about(size)} images{of_computing(run, prices)}")
    condition = ", if its curve goes on as it does" if has_gain(best) else ""
    return f"{listed(costs)}: {gain(best)}{condition}"


def next_images(results: StudyResults, ranked: list[Contender]) -> tuple[str, str]:
    more = next_count(results.forecast.sizes[-1])
    gains = [gain(one) + (f", as it has no forecast: {one.refused}" if one.refused else "") for one in ranked]
    condition = f"{IF}, " if any(map(has_gain, ranked)) else ""
    return f"{count(more)} more images{of_labels(more, results.prices)}", condition + "; ".join(gains)


def has_gain(one: Contender) -> bool:
    return one.curve is not None and not one.refused and one.curve.next_images is not None


def gain(one: Contender) -> str:
    """In accuracy, by the next images."""
    if one.curve is None or one.refused or one.curve.next_images is None:
        return f"what {one.name} gains cannot be told"
    found = one.curve.next_images
    return f"+ {points_range(found.gain, found.low, found.high).replace(' (', ' points (')} for {one.name}"


def next_target(results: StudyResults, best: Contender) -> list[tuple[str, str]]:
    """What the next target accuracy of the best contender takes, and its labels cost."""
    need, largest = next_need(best), results.forecast.sizes[-1]
    if best.curve is None or need is None:
        return []
    text = images_for(best.name, need, largest, results.forecast.end_of(best.curve))
    more = 0.0 if need.images is None else need.images - largest
    cost = of_labels(more, results.prices) if more > 0 else ""
    return [("The next target", f"{text}; their labels{cost}" if cost else text)]


def training(results: StudyResults, ranked: list[Contender]) -> tuple[str, str]:
    """One further training of each contender."""
    size = results.forecast.sizes[-1] + next_count(results.forecast.sizes[-1])
    times = [(one.name, expected_seconds(results.reported, one.name, size)) for one in ranked]
    each = [f"{name} {seconds(time)}{of_computing(time, results.prices)}" for name, time in times]
    return f"A training with {about(size)} images", ", ".join(each)


def spent(results: StudyResults) -> tuple[str, str]:
    runs = [*results.reported, *results.trials]
    total = sum(done.timing.seconds for done in runs if done.timing)
    return "The study so far", f"{plural(len(runs), 'run')}, {seconds(total)}{of_computing(total, results.prices)}"


def expected_seconds(reported: tuple[FinishedRun, ...], name: str, size: int) -> float:
    """Of a run at a size that was not measured: on the line through the measured times, which does not fall."""
    measured = [(done.job.size, done.timing.seconds) for done in reported if done.timing and done.job.contender == name]
    sizes, times = [one for one, _ in measured], [time for _, time in measured]
    slope = linear_regression(sizes, times).slope if len(set(sizes)) > 1 else 0.0
    return fmean(times) + max(slope, 0.0) * (size - fmean(sizes))


def of_labels(number: float, prices: Prices) -> str:
    """“ ≈ 25 €”; empty without a price."""
    return "" if prices.label is None else f" ≈ {money(number * prices.label, prices.currency or CURRENCY)}"


def of_computing(time: float, prices: Prices) -> str:
    return "" if prices.hour is None else f" ≈ {money(time / 3600 * prices.hour, prices.currency or CURRENCY)}"
