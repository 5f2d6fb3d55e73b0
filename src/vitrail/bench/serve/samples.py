"""Requests as the client sees them, and their statistics."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

OK = 200
NO_RESPONSE = 0  # the status where the connection failed
WINDOW = 0.5  # seconds over which recovery is judged
RECOVERED = 0.95  # of the requests in such a window


class Sample(NamedTuple):
    """One request: when it was due, in seconds from the start; its latency from then; its status."""

    due: float
    seconds: float
    status: int


def quantile(numbers: Iterable[float], share: float) -> float:
    """The smallest number that at least this share of them does not exceed."""
    ordered = sorted(numbers)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else float("nan")


def successful(samples: Iterable[Sample]) -> list[Sample]:
    return [each for each in samples if each.status == OK]


def percentile_ms(percent: int, samples: Iterable[Sample]) -> float:
    """Latency percentile of the accepted requests, in milliseconds."""
    return 1000 * quantile((each.seconds for each in successful(samples)), percent / 100)


def goodput(samples: Iterable[Sample], begin: float, end: float) -> float:
    """Successful responses a second that arrived between these moments, whenever they were due."""
    return sum(begin <= each.due + each.seconds < end for each in successful(samples)) / (end - begin)


def due_between(samples: Iterable[Sample], begin: float, end: float) -> list[Sample]:
    return [each for each in samples if begin <= each.due < end]


def status_counts(samples: Iterable[Sample]) -> dict[int, int]:
    """How many requests ended with each status."""
    counts: dict[int, int] = {}
    for each in samples:
        counts[each.status] = counts.get(each.status, 0) + 1
    return dict(sorted(counts.items()))


def statuses_text(counts: dict[int, int]) -> str:
    return ", ".join(f"{status or 'no response'}: {count}" for status, count in counts.items())


def recovery(samples: Sequence[Sample], since: float, until: float, limit: float) -> float | None:
    """Seconds from `since` to the end of the first window in which nearly all requests succeed within `limit`."""
    begin = since
    while begin + WINDOW <= until:
        inside = due_between(samples, begin, begin + WINDOW)
        good = sum(each.seconds <= limit for each in successful(inside))
        if inside and good >= RECOVERED * len(inside):
            return begin + WINDOW - since
        begin += WINDOW
    return None
