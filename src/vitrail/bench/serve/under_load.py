"""All servers under the same load, in alternating rounds: callers who each wait for their answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median

from vitrail.bench.core.rounds import Typical, typical
from vitrail.bench.serve.bare import NAME as BARE
from vitrail.bench.serve.bare import BareProcess
from vitrail.bench.serve.calling import run_load
from vitrail.bench.serve.entrants import Entrant
from vitrail.bench.serve.load import Load, Order
from vitrail.bench.serve.samples import answered, p
from vitrail.bench.serve.servers import OURS
from vitrail.errors import VitrailError

WARM_UP = 0.5  # seconds, and the time of two answers

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """What one contender did in one round; nobody waits for the bare session, so it has no quantiles."""

    rate: float
    cpu_ms: float
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    cores_of_others: float


@dataclass(frozen=True)
class Result:
    """One contender at one number of connections: medians over the rounds, and ratios taken within each."""

    name: str
    rate: Typical
    cpu_ms: Typical
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    vitrail_is_times_as_fast: Typical
    vitrail_takes_times_the_cpu: Typical
    vitrail_takes_times_the_p99: Typical | None


@dataclass(frozen=True)
class Measured:
    """One number of connections: every contender, and every turn that it took."""

    connections: int
    cores_of_others: float
    results: tuple[Result, ...]
    rounds: dict[str, list[Turn]]


def measure_load(
    entrants: Sequence[Entrant], bare: BareProcess, connections: int, rounds: int, seconds: float, seed: int, tell: Tell
) -> Measured:
    steps: dict[str, Callable[[], Turn]] = {BARE: lambda: bare_turn(bare, seconds)}
    steps |= {each.name: partial(turn, each, connections, seconds) for each in entrants}
    order, random = list(steps), Random(seed)
    turns: dict[str, list[Turn]] = {name: [] for name in steps}
    for done in range(rounds):
        tell(f"{connections} connections: round {done + 1} of {rounds}")
        random.shuffle(order)
        for name in order:
            turns[name].append(steps[name]())
    others = median(each.cores_of_others for name in turns if name != BARE for each in turns[name])
    return Measured(connections, others, tuple(result_of(name, turns) for name in turns), turns)


def turn(entrant: Entrant, connections: int, seconds: float) -> Turn:
    order = Order(
        port=entrant.running.port,
        messages=entrant.messages,
        server=entrant.running.processes(),
        callers=connections,
        warm_up=WARM_UP + seconds / 4,
        seconds=seconds,
    )
    load = run_load(order)
    if not answered(load.samples):
        raise VitrailError(f"{entrant.name} answered nothing in {seconds:g} seconds of {connections} connections")
    return turn_of(load)


def turn_of(load: Load) -> Turn:
    good = answered(load.samples)
    return Turn(
        rate=len(good) / load.seconds,
        cpu_ms=1000 * load.server_cpu / len(good),
        p50_ms=p(50, load.samples),
        p99_ms=p(99, load.samples),
        failed=len(load.samples) - len(good),
        cores_of_others=max(0.0, (load.everybody_cpu - load.server_cpu - load.client_cpu) / load.seconds),
    )


def bare_turn(bare: BareProcess, seconds: float) -> Turn:
    done = bare.compute(seconds)
    return Turn(done.images / done.seconds, 1000 * done.cpu / done.images, None, None, 0, 0.0)


def result_of(name: str, turns: dict[str, list[Turn]]) -> Result:
    ours, theirs = turns[OURS], turns[name]
    return Result(
        name=name,
        rate=typical(each.rate for each in theirs),
        cpu_ms=typical(each.cpu_ms for each in theirs),
        p50_ms=median_of([each.p50_ms for each in theirs]),
        p99_ms=median_of([each.p99_ms for each in theirs]),
        failed=sum(each.failed for each in theirs),
        vitrail_is_times_as_fast=typical(ratios([each.rate for each in ours], [each.rate for each in theirs])),
        vitrail_takes_times_the_cpu=typical(ratios([each.cpu_ms for each in ours], [each.cpu_ms for each in theirs])),
        vitrail_takes_times_the_p99=p99_ratio(ours, theirs),
    )


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def p99_ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> Typical | None:
    pairs = [(our.p99_ms, their.p99_ms) for our, their in zip(ours, theirs, strict=True)]
    known = [(our, their) for our, their in pairs if our is not None and their is not None]
    return typical(our / their for our, their in known) if len(known) == len(pairs) else None


def median_of(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return median(known) if known else None
