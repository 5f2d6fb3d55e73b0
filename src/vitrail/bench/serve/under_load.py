"""All servers under the same closed-loop load, in alternating rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median

from vitrail.bench.core.report import Progress
from vitrail.bench.core.rounds import MedianInterval, median_interval
from vitrail.bench.serve.bare import NAME as BARE
from vitrail.bench.serve.bare import BareProcess
from vitrail.bench.serve.client import run_load
from vitrail.bench.serve.contenders import Contender
from vitrail.bench.serve.load import Load, LoadSpec
from vitrail.bench.serve.samples import percentile_ms, successful
from vitrail.bench.serve.servers import OURS
from vitrail.errors import VitrailError

WARM_UP = 0.5  # seconds, and a quarter of the turn


@dataclass(frozen=True)
class Turn:
    """One contender in one round; the bare session has no latency."""

    rate: float
    cpu_ms: float
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    background_load: float


@dataclass(frozen=True)
class Result:
    """One contender at one number of connections: medians over rounds, and ratios taken within a round."""

    name: str
    rate: MedianInterval
    cpu_ms: MedianInterval
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    speedup: MedianInterval
    cpu_ratio: MedianInterval
    p99_ratio: MedianInterval | None


@dataclass(frozen=True)
class LoadResults:
    """One number of connections: every contender, and all its turns."""

    connections: int
    background_load: float
    results: tuple[Result, ...]
    rounds: dict[str, list[Turn]]


def measure_load(
    contenders: Sequence[Contender],
    bare: BareProcess,
    connections: int,
    rounds: int,
    seconds: float,
    seed: int,
    progress: Progress,
) -> LoadResults:
    steps: dict[str, Callable[[], Turn]] = {BARE: lambda: bare_turn(bare, seconds)}
    steps |= {each.name: partial(turn, each, connections, seconds) for each in contenders}
    order, random = list(steps), Random(seed)
    turns: dict[str, list[Turn]] = {name: [] for name in steps}
    for done in range(rounds):
        progress(f"{connections} connections: round {done + 1} of {rounds}")
        random.shuffle(order)
        for name in order:
            turns[name].append(steps[name]())
    others = median(each.background_load for name in turns if name != BARE for each in turns[name])
    return LoadResults(connections, others, tuple(result_of(name, turns) for name in turns), turns)


def turn(contender: Contender, connections: int, seconds: float) -> Turn:
    spec = LoadSpec(
        port=contender.running.port,
        messages=contender.messages,
        server=contender.running.processes(),
        clients=connections,
        warm_up=WARM_UP + seconds / 4,
        seconds=seconds,
    )
    load = run_load(spec)
    if not successful(load.samples):
        raise VitrailError(f"{contender.name} had no successful response in {seconds:g} s")
    return turn_of(load)


def turn_of(load: Load) -> Turn:
    good = successful(load.samples)
    return Turn(
        rate=len(good) / load.seconds,
        cpu_ms=1000 * load.server_cpu / len(good),
        p50_ms=percentile_ms(50, load.samples),
        p99_ms=percentile_ms(99, load.samples),
        failed=len(load.samples) - len(good),
        background_load=max(0.0, (load.system_cpu - load.server_cpu - load.client_cpu) / load.seconds),
    )


def bare_turn(bare: BareProcess, seconds: float) -> Turn:
    done = bare.compute(seconds)
    return Turn(done.images / done.seconds, 1000 * done.cpu / done.images, None, None, 0, 0.0)


def result_of(name: str, turns: dict[str, list[Turn]]) -> Result:
    ours, theirs = turns[OURS], turns[name]
    return Result(
        name=name,
        rate=median_interval(each.rate for each in theirs),
        cpu_ms=median_interval(each.cpu_ms for each in theirs),
        p50_ms=median_of([each.p50_ms for each in theirs]),
        p99_ms=median_of([each.p99_ms for each in theirs]),
        failed=sum(each.failed for each in theirs),
        speedup=median_interval(ratios([each.rate for each in ours], [each.rate for each in theirs])),
        cpu_ratio=median_interval(ratios([each.cpu_ms for each in ours], [each.cpu_ms for each in theirs])),
        p99_ratio=p99_ratio(ours, theirs),
    )


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def p99_ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> MedianInterval | None:
    pairs = [(our.p99_ms, their.p99_ms) for our, their in zip(ours, theirs, strict=True)]
    known = [(our, their) for our, their in pairs if our is not None and their is not None]
    return median_interval(our / their for our, their in known) if len(known) == len(pairs) else None


def median_of(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return median(known) if known else None
