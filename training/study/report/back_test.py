"""How good a forecast was here, in words that stand beside every forecast: the largest size hidden, then looked at."""

from vitrail.training.study.report.formatting import count, listed, points
from vitrail.training.study.statistics.findings import Contender, Forecast


def told(forecast: Forecast) -> str:
    """Of all contenders, in one sentence."""
    tested = [one for one in forecast.contenders if one.back_test]
    if not tested:
        return "No back-test: there are too few sizes to hide one, so nothing says how good forecasts are here."
    offs = [f"{one.name} off by {off(one)} points{where(one, forecast)}" for one in tested]
    common = f" at {count(forecast.sizes[-1])} images" if not any(where(one, forecast) for one in tested) else ""
    return f"Back-test, the largest size hidden and foretold from the others: {listed(offs)}{common}."


def off(one: Contender) -> str:
    return points(one.back_test.off) if one.back_test else "unknown"


def where(one: Contender, forecast: Forecast) -> str:
    """Told where a contender's largest size is not that of the study."""
    if one.back_test is None or one.back_test.images == forecast.sizes[-1]:
        return ""
    return f" at {count(one.back_test.images)} images"
