"""Every mechanism at every size: memory first, then time in rounds in which all take turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import torch

from vitrail.bench.attention.cases import PARTS, Case, PartName
from vitrail.bench.attention.memory import MAX_BYTES, extrapolated_bytes, peak_bytes
from vitrail.bench.attention.plan import HEADS, REFERENCE, WIDTH, Plan
from vitrail.bench.attention.slopes import slope, slopes
from vitrail.bench.core.machine import Machine, background_load, cpu_usage, installed_versions, this_machine
from vitrail.bench.core.rounds import MedianInterval, Times, alternate, median_interval, speedups

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """One call forward and backward."""

    mechanism: str
    vectors: int
    milliseconds: MedianInterval
    peak_bytes: int
    speedup: MedianInterval | None  # as softmax at this size, where that was measured


@dataclass(frozen=True)
class Growth:
    """Slopes of log time and log memory on log vectors; null where fewer than two sizes were measured."""

    mechanism: str
    vectors: tuple[int, ...]
    time: MedianInterval | None
    memory: float | None


@dataclass(frozen=True)
class LeftOut:
    """A size that was not measured, and the bytes that it might have needed."""

    mechanism: str
    vectors: int
    bytes: int


@dataclass(frozen=True)
class Measured:
    """One part of all mechanisms, with the seconds a call of every round."""

    part: PartName
    background_load: float | None
    results: tuple[Result, ...]
    growth: tuple[Growth, ...]
    left_out: tuple[LeftOut, ...]
    rounds: Times

    def result(self, mechanism: str, vectors: int) -> Result | None:
        found = (each for each in self.results if (each.mechanism, each.vectors) == (mechanism, vectors))
        return next(found, None)

    def growth_of(self, mechanism: str) -> Growth:
        return next(each for each in self.growth if each.mechanism == mechanism)


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and everything needed to measure it again."""

    plan: Plan
    machine: Machine
    versions: dict[str, str]
    date: str
    measured: tuple[Measured, ...]
    width: int = WIDTH
    heads: int = HEADS
    kind: Literal["attention"] = "attention"


def measure(plan: Plan, progress: Progress = lambda line: None) -> Report:
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        measured = tuple(measure_part(part, plan, progress) for part in PARTS)
    finally:
        torch.set_num_threads(before)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(plan, this_machine(), installed_versions(), date, measured)


def measure_part(part: PartName, plan: Plan, progress: Progress) -> Measured:
    cases: dict[str, tuple[Case, int]] = {}
    left_out: list[LeftOut] = []
    for mechanism in plan.mechanisms:
        progress(f"{part}: memory of {mechanism}")
        for found in with_memory(part, mechanism, plan):
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                cases[key(mechanism, found[0].vectors)] = found
    begin = cpu_usage()
    steps = {name: case.step for name, (case, _) in cases.items()}
    times = alternate(
        steps,
        plan.rounds,
        plan.seconds,
        plan.seed,
        progress=lambda done: progress(f"{part}: round {done + 1} of {plan.rounds}"),
    )
    others = background_load(begin, cpu_usage())
    results = tuple(result_of(case, peak, times) for case, peak in cases.values())
    growth = tuple(growth_of(mechanism, results, times) for mechanism in plan.mechanisms)
    return Measured(part, others, results, growth, tuple(left_out), times)


def with_memory(part: PartName, mechanism: str, plan: Plan) -> Iterator[tuple[Case, int] | LeftOut]:
    """The sizes that fit into memory, smallest first, each with what it needs there."""
    known: tuple[int, int] | None = None  # bytes, and with how many vectors
    for side in plan.sides:
        needed = extrapolated_bytes(*known, side * side) if known else 0
        if needed > MAX_BYTES:
            yield LeftOut(mechanism, side * side, needed)
            continue
        case = Case(part, mechanism, side, plan.seed)
        known = peak_bytes(case), case.vectors
        yield case, known[0]


def result_of(case: Case, peak: int, times: Times) -> Result:
    own, softmax = times[key(case.mechanism, case.vectors)], times.get(key(REFERENCE, case.vectors))
    faster = None if softmax is None else median_interval(speedups(own, softmax))
    return Result(case.mechanism, case.vectors, median_interval(1000 * seconds for seconds in own), peak, faster)


def growth_of(mechanism: str, results: Sequence[Result], times: Times) -> Growth:
    own = [each for each in results if each.mechanism == mechanism]
    vectors = tuple(each.vectors for each in own)
    if len(vectors) < 2:
        return Growth(mechanism, vectors, None, None)
    in_time = median_interval(slopes(vectors, [times[key(mechanism, count)] for count in vectors]))
    return Growth(mechanism, vectors, in_time, slope(vectors, [each.peak_bytes for each in own]))


def key(mechanism: str, vectors: int) -> str:
    return f"{mechanism} {vectors}"
