"""Our server at twice its capacity: latency of accepted requests, goodput, and recovery afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

from vitrail.bench.core.report import Progress
from vitrail.bench.serve.client import run_load
from vitrail.bench.serve.contenders import Contender
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

CLIENTS = 16  # that measure the capacity
CAPACITY = 15.0  # seconds that this takes
BUSY = 0.8  # of the capacity
OVERLOAD = 2.0
ROUNDS = 6  # of both
SETTLING = 0.1  # of a round's busy part: connections open, or the previous overload drains
RECOVERY = 15.0  # seconds at 80 % again, in which the server recovers
DRAWS = 500  # of rounds, for the intervals


@dataclass(frozen=True)
class Round:
    """Requests at 80 % of the capacity, and then at 200 %."""

    busy: list[Sample]
    over: list[Sample]
    goodput: float


@dataclass(frozen=True)
class Overload:
    """Requests a second, milliseconds, and the statuses at 200 %; intervals are over rounds."""

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


def measure_overload(contender: Contender, seconds: float, seed: int, progress: Progress) -> Overload:
    """Capacity in a closed loop; an open loop at 80 % and 200 % of it in turn; and capacity once more.

    Goodput is compared with the mean of both capacities, since the speed of the machine drifts.
    """
    progress("overload: capacity")
    before, each = capacity_of(contender), seconds / ROUNDS
    stages = [(BUSY * before, each), (OVERLOAD * before, each)] * ROUNDS + [(BUSY * before, RECOVERY)]
    until = 2 * seconds + RECOVERY
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
    """All requests at 80 %, and all at 200 %."""
    return [call for one in rounds for call in one.busy], [call for one in rounds for call in one.over]


def p99_ratio(rounds: Sequence[Round]) -> float:
    busy, over = pooled(rounds)
    return percentile_ms(99, over) / percentile_ms(99, busy)


def estimate(name: str, statistic: Callable[[Sequence[Round]], float], rounds: Sequence[Round], seed: int) -> Estimate:
    """A statistic of all rounds, with its bootstrap interval over rounds."""
    random = Random(seed)
    drawn = [statistic(random.choices(rounds, k=len(rounds))) for _ in range(DRAWS)]
    return Estimate(name, statistic(rounds), quantile(drawn, 0.025), quantile(drawn, 0.975))


def capacity_of(contender: Contender) -> float:
    running = contender.running
    spec = LoadSpec(running.port, contender.messages, running.processes(), CLIENTS, warm_up=2.0, seconds=CAPACITY)
    load = run_load(spec)
    return len(successful(load.samples)) / load.seconds
