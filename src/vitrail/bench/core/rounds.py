"""Alternating rounds: contenders run in shuffled order and are compared within each round."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from vitrail.bench.core.machine import background_load, cpu_usage

Step = Callable[[], Any]
Times = dict[str, list[float]]
Name = TypeVar("Name")

MIN_ROUNDS = 5
MIN_CALLS = 3
WARM_UP = 2
CONFIDENCE = 0.95


@dataclass(frozen=True)
class MedianInterval:
    """The median of the rounds, with an interval that contains the true median with probability `coverage`."""

    value: float
    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class Timings:
    """Each contender's seconds a call, one number a round, and the load of other programs meanwhile."""

    rounds: Times
    background_load: float | None

    def milliseconds(self, name: str) -> MedianInterval:
        return median_interval(1000 * seconds for seconds in self.rounds[name])

    def speedup(self, name: str, baseline: str) -> MedianInterval:
        """How many times as fast as the baseline `name` is, taken within each round."""
        return median_interval(speedups(self.rounds[name], self.rounds[baseline]))


def run_rounds(
    steps: Mapping[str, Step],
    rounds: int,
    seconds: float,
    seed: int,
    clock: Callable[[], float] = perf_counter,
    progress: Callable[[str], None] = lambda line: None,
) -> Timings:
    """Alternate the contenders, and record what other programs use of the CPU."""
    begin = cpu_usage()
    times = alternate(steps, rounds, seconds, seed, clock, lambda number: progress(f"round {number + 1} of {rounds}"))
    return Timings(times, background_load(begin, cpu_usage()))


def alternate(
    steps: Mapping[str, Step],
    rounds: int,
    seconds: float,
    seed: int,
    clock: Callable[[], float] = perf_counter,
    on_round: Callable[[int], None] = lambda number: None,
) -> Times:
    """Each contender's median seconds a call, one number a round; load of other programs affects all alike."""
    order, random = list(steps), Random(seed)
    times: Times = {name: [] for name in steps}
    for number in range(rounds):
        on_round(number)
        random.shuffle(order)
        for name in order:
            times[name].append(time_calls(steps[name], seconds, clock))
    return times


def shuffled_rounds(
    names: Sequence[Name], rounds: int, seed: int, progress: Callable[[str], None] = lambda line: None
) -> Iterator[Name]:
    """Each name once a round, in shuffled order."""
    order, random = list(names), Random(seed)
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        random.shuffle(order)
        yield from order


def time_calls(step: Step, seconds: float, clock: Callable[[], float] = perf_counter) -> float:
    """The median time of a call, over as many calls as fit into `seconds`, after a warm-up."""
    for _ in range(WARM_UP):  # the previous contender has left its data in the caches, and its threads awake
        step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < MIN_CALLS:
        begin = clock()
        step()
        times.append(clock() - begin)
    return median(times)


def speedups(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast we are, round by round: above 1 we are faster."""
    return [their / our for our, their in zip(ours, theirs, strict=True)]


def median_interval(numbers: Iterable[float]) -> MedianInterval:
    """The median, and the narrowest pair of order statistics around it with enough coverage.

    Makes no assumption about the distribution; of five rounds even the smallest and largest only reach 0.94.
    """
    ordered = sorted(numbers)
    count = len(ordered)
    cut = max((k for k in range((count + 1) // 2) if coverage(count, k) >= CONFIDENCE), default=0)
    return MedianInterval(median(ordered), ordered[cut], ordered[count - 1 - cut], coverage(count, cut))


def coverage(count: int, cut: int) -> float:
    """The probability that the true median lies between the numbers left after cutting `cut` from each end."""
    outside = 2 * sum(comb(count, k) for k in range(cut + 1))
    return 1.0 - outside / float(2**count)
