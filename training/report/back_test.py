"""How good a forecast was here, in words that stand beside every forecast: the largest size hidden, then looked at."""

from vitrail.training.curves.findings import Contender, Forecast
from vitrail.training.report.words import count, listed, points


def told(forecast: Forecast) -> str:
    """Of all contenders, in one sentence."""
    tested = [f"{one.name} {off(one)}" for one in forecast.contenders if one.back_test]
    if not tested:
        return "No back-test: there are too few sizes to hide one, so nothing says how good forecasts are here."
    return f"Back-test, the largest size hidden and foretold from the others: {listed(tested)}."


def off(one: Contender) -> str:
    """By how much, and where."""
    found = one.back_test
    if found is None:
        return "without a back-test"
    return f"off by {points(found.off)} points at {count(found.pictures)} pictures"
