"""A comparison as text for a terminal, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vitrail.plots.formatting import percent_range, points_range, significance
from vitrail.training.comparison.comparison import Comparison, Pair
from vitrail.training.comparison.paired import CONFIDENCE, LEVEL, POWER, Interval


def text_of(compared: Comparison) -> str:
    runs = [("run", compared.measure), *((one.name, result(compared, one.result)) for one in compared.runs)]
    several = len(compared.pairs) > 1
    head = ("difference", "points" if compared.is_binary else "", "p", *(["p, corrected"] if several else []))
    pairs = [head, *(row(compared, pair, several) for pair in compared.pairs)]
    about = f"{compared.images:,} test images; {100 * CONFIDENCE:.0f} % intervals in parentheses"
    return "\n\n".join(
        [about, columns(runs), columns(pairs), *(f"{verdict(compared, one)}." for one in compared.pairs)]
    )


def result(compared: Comparison, interval: Interval) -> str:
    if compared.is_binary:
        return percent_range(interval.value, interval.low, interval.high)
    return f"{interval.value:.4g} ({interval.low:.4g} to {interval.high:.4g})"


def difference(compared: Comparison, interval: Interval) -> str:
    if compared.is_binary:
        return points_range(interval.value, interval.low, interval.high)
    return result(compared, interval).replace("-", "\N{MINUS SIGN}")


def row(compared: Comparison, pair: Pair, several: bool) -> tuple[str, ...]:
    names = f"{compared.runs[pair.first].name} minus {compared.runs[pair.second].name}"
    seen = pair.difference
    more = [significance(pair.corrected)] if several else []
    return (names, difference(compared, seen.interval), significance(seen.p_value), *more)


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def verdict(compared: Comparison, pair: Pair) -> str:
    """Which run is better, or that neither is clearly ahead and how many images would tell."""
    ahead = compared.better(pair)
    best, other = (compared.runs[i].name for i in (ahead, pair.first + pair.second - ahead))
    if pair.is_clear:
        return f"{best} is better than {other}"
    needed = pair.difference.images_needed
    if needed is None:
        return f"{best} and {other} have the same result on these images"
    start = f"neither of {best} and {other} is clearly ahead"
    if needed <= compared.images:  # the correction for several pairs, or chance at this number of images
        return f"{start}; the difference seen is at the edge of what {compared.images:,} images can tell"
    return (
        f"{start}; a difference as large as the one seen would be found with about {needed:,} test images "
        f"({100 * POWER:.0f} % of the time, at a level of {100 * LEVEL:.0f} %)"
    )


def json_of(compared: Comparison) -> dict[str, Any]:
    names = [one.name for one in compared.runs]
    return {
        "measure": compared.measure,
        "images": compared.images,
        "confidence": CONFIDENCE,
        "runs": [{"run": one.name, **asdict(one.result)} for one in compared.runs],
        "pairs": [
            {
                "first": names[pair.first],
                "second": names[pair.second],
                "difference": asdict(pair.difference.interval),
                "p": pair.difference.p_value,
                "p_corrected": pair.corrected,
                "better": names[compared.better(pair)] if pair.is_clear else None,
                "images_needed": pair.difference.images_needed,
                "verdict": verdict(compared, pair),
            }
            for pair in compared.pairs
        ],
    }
