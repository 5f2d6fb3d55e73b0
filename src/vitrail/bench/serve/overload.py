"""Our server under twice the load that it can bear: who is let in is served in time, and when that ends, all are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

from vitrail.bench.serve.client import run_load
from vitrail.bench.serve.contenders import Entrant
from vitrail.bench.serve.load import LoadSpec
from vitrail.bench.serve.samples import (
    Sample,
    due_between,
    goodput,
    percentile_ms,
    quantile,
    recovery,
    status_counts,
    successful,
)
from vitrail.tasks.intervals import Estimate

CLIENTS = 16  # who find out the capacity
CAPACITY = 15.0  # seconds that this takes
BUSY = 0.8  # of the capacity
TOO_MUCH = 2.0
ROUNDS = 6  # of both
SETTLING = 0.1  # of a round's calm part: connections are made, or the crowd before leaves
AFTERWARDS = 15.0  # seconds at 80 % again, in which the server recovers
DRAWS = 500  # of rounds, for the intervals

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What callers saw while there was enough room, and then while there was not."""

    busy: list[Sample]
    over: list[Sample]
    goodput: float


@dataclass(frozen=True)
class Overload:
    """Requests a second, milliseconds, and how those of the overload ended by status; intervals are over rounds."""

    capacity: float
    busy_p50_ms: float
    busy_p99_ms: float
    busy_failed: int
    p50_ms: float
    p99_ms: float
    p99_ratio: Estimate
    goodput: float
    goodput_share: Estimate
    statuses: dict[int, int]
    recovery_seconds: float | None


def measure_overload(contender: Entrant, seconds: float, seed: int, progress: Progress) -> Overload:
    """Capacity from callers who wait; calls at random moments, 80 % of it and 200 % in turn; and capacity once more.

    What was answered is held against the mean of both capacities: a machine is not as fast now as it was then.
    """
    progress("overload: capacity")
    before, each = capacity_of(contender), seconds / ROUNDS
    stages = [(BUSY * before, each), (TOO_MUCH * before, each)] * ROUNDS + [(BUSY * before, AFTERWARDS)]
    until = 2 * seconds + AFTERWARDS
    progress(f"overload: {until:.0f} seconds around {before:.0f} requests a second")
    spec = LoadSpec(contender.running.port, contender.messages, contender.running.processes(), stages=stages, seed=seed)
    samples = run_load(spec).samples
    progress("overload: capacity once more")
    capacity = mean((before, capacity_of(contender)))
    rounds = [one_round(samples, 2 * each * number, each) for number in range(ROUNDS)]
    busy, over = pooled(rounds)
    return Overload(
        capacity=capacity,
        busy_p50_ms=percentile_ms(50, busy),
        busy_p99_ms=percentile_ms(99, busy),
        busy_failed=len(busy) - len(successful(busy)),
        p50_ms=percentile_ms(50, over),
        p99_ms=percentile_ms(99, over),
        p99_ratio=estimate("p99", p99_ratio, rounds, seed),
        goodput=mean(one.goodput for one in rounds),
        goodput_share=estimate("goodput", lambda some: mean(one.goodput for one in some) / capacity, rounds, seed),
        statuses=status_counts(over),
        recovery_seconds=recovery(samples, 2 * seconds, until, 2 * percentile_ms(99, busy) / 1000),
    )


def one_round(samples: Sequence[Sample], begin: float, seconds: float) -> Round:
    turn, end = begin + seconds, begin + 2 * seconds
    busy = due_between(samples, begin + SETTLING * seconds, turn)
    return Round(busy, due_between(samples, turn, end), goodput(samples, turn, end))


def pooled(rounds: Sequence[Round]) -> tuple[list[Sample], list[Sample]]:
    """All calls while there was room, and all while there was not."""
    return [call for one in rounds for call in one.busy], [call for one in rounds for call in one.over]


def p99_ratio(rounds: Sequence[Round]) -> float:
    busy, over = pooled(rounds)
    return percentile_ms(99, over) / percentile_ms(99, busy)


def estimate(name: str, number: Callable[[Sequence[Round]], float], rounds: Sequence[Round], seed: int) -> Estimate:
    """A number of all rounds, and how far it moves when other rounds of their kind had been seen."""
    random = Random(seed)
    drawn = [number(random.choices(rounds, k=len(rounds))) for _ in range(DRAWS)]
    return Estimate(name, number(rounds), quantile(drawn, 0.025), quantile(drawn, 0.975))


def capacity_of(contender: Entrant) -> float:
    running = contender.running
    spec = LoadSpec(running.port, contender.messages, running.processes(), CLIENTS, warm_up=2.0, seconds=CAPACITY)
    load = run_load(spec)
    return len(successful(load.samples)) / load.seconds
