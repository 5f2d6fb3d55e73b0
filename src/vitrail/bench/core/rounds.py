"""Alternating rounds: contenders take turns in shuffled order, and are compared within each round."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

Step = Callable[[], Any]
Times = dict[str, list[float]]

MIN_ROUNDS = 5
MIN_CALLS = 3
WARM_UP = 2
CONFIDENCE = 0.95


@dataclass(frozen=True)
class MedianInterval:
    """The median of what rounds gave, with an interval that holds the true median as often as `coverage` says."""

    value: float
    low: float
    high: float
    coverage: float


def alternate(
    steps: Mapping[str, Step],
    rounds: int,
    seconds: float,
    seed: int,
    clock: Callable[[], float] = perf_counter,
    progress: Callable[[int], None] = lambda done: None,
) -> Times:
    """Each contender's median seconds for a call, one number a round; what else runs here hits all alike."""
    order, random = list(steps), Random(seed)
    times: Times = {name: [] for name in steps}
    for done in range(rounds):
        progress(done)
        random.shuffle(order)
        for name in order:
            times[name].append(time_calls(steps[name], seconds, clock))
    return times


def time_calls(step: Step, seconds: float, clock: Callable[[], float]) -> float:
    """The median time of a call, over as many calls as fit into `seconds`, after a few that warm up."""
    for _ in range(WARM_UP):  # the contender before has left its own data in the caches, and its threads awake
        step()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < MIN_CALLS:
        begin = clock()
        step()
        taken.append(clock() - begin)
    return median(taken)


def speedups(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast we were, round by round: above 1 we were faster."""
    return [their / our for our, their in zip(ours, theirs, strict=True)]


def median_interval(numbers: Iterable[float]) -> MedianInterval:
    """The median and the narrowest pair of order statistics around it that is sure enough.

    Without any assumption on how times are spread; of five rounds even smallest and largest only reach 0.94.
    """
    ordered = sorted(numbers)
    count = len(ordered)
    cut = max((k for k in range((count + 1) // 2) if coverage(count, k) >= CONFIDENCE), default=0)
    return MedianInterval(median(ordered), ordered[cut], ordered[count - 1 - cut], coverage(count, cut))


def coverage(count: int, cut: int) -> float:
    """How often the true median lies between the numbers left after cutting `cut` from each end."""
    outside = 2 * sum(comb(count, k) for k in range(cut + 1))
    return 1.0 - outside / float(2**count)
