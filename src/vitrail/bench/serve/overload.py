"""Our server under twice the load that it can bear: who is let in is served in time, and when that ends, all are."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from vitrail.bench.serve.calling import run_load
from vitrail.bench.serve.entrants import Entrant
from vitrail.bench.serve.load import Order
from vitrail.bench.serve.samples import answered, due_between, goodput, p, recovery, statuses

CALLERS = 16  # who find out the capacity
BUSY = 0.8  # of the capacity
TOO_MUCH = 2.0
AFTERWARDS = 15.0  # seconds at 80 % again, in which the server recovers

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Overload:
    """Requests a second, milliseconds, and how those of the overload ended by status."""

    capacity: float
    busy_p50_ms: float
    busy_p99_ms: float
    busy_failed: int
    p50_ms: float
    p99_ms: float
    p99_times_the_busy: float
    goodput: float
    goodput_share: float
    statuses: dict[int, int]
    recovery_seconds: float | None


def measure_overload(entrant: Entrant, seconds: float, seed: int, tell: Tell) -> Overload:
    """Capacity from callers who wait; calls at random moments, 80 % of it, 200 %, 80 % again; and capacity once more.

    What was answered is held against the mean of both capacities: a machine is not as fast now as it was then.
    """
    tell("overload: capacity")
    before = capacity_of(entrant, seconds / 4)
    stages = [(BUSY * before, seconds), (TOO_MUCH * before, seconds), (BUSY * before, AFTERWARDS)]
    tell(f"overload: {2 * seconds + AFTERWARDS:.0f} seconds around {before:.0f} requests a second")
    order = Order(entrant.running.port, entrant.messages, entrant.running.processes(), stages=stages, seed=seed)
    samples = run_load(order).samples
    busy = due_between(samples, seconds / 10, seconds)  # without its beginning, where connections are made
    over = due_between(samples, seconds, 2 * seconds)
    good = goodput(samples, seconds, 2 * seconds)
    busy_p99, over_p99 = p(99, busy), p(99, over)
    until = 2 * seconds + AFTERWARDS
    tell("overload: capacity once more")
    capacity = mean((before, capacity_of(entrant, seconds / 4)))
    return Overload(
        capacity=capacity,
        busy_p50_ms=p(50, busy),
        busy_p99_ms=busy_p99,
        busy_failed=len(busy) - len(answered(busy)),
        p50_ms=p(50, over),
        p99_ms=over_p99,
        p99_times_the_busy=over_p99 / busy_p99,
        goodput=good,
        goodput_share=good / capacity,
        statuses=statuses(over),
        recovery_seconds=recovery(samples, 2 * seconds, until, 2 * busy_p99 / 1000),
    )


def capacity_of(entrant: Entrant, seconds: float) -> float:
    running = entrant.running
    order = Order(running.port, entrant.messages, running.processes(), CALLERS, warm_up=2.0, seconds=seconds)
    load = run_load(order)
    return len(answered(load.samples)) / load.seconds
