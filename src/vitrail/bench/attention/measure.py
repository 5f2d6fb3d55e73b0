"""Every mechanism at every size: peak memory first, then time in alternating rounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Literal

import numpy as np
import torch

from vitrail.attention.component import parse_component
from vitrail.bench.attention.cases import HEADS, PARTS, WIDTH, Case, PartName, peak_bytes
from vitrail.bench.attention.distance import Gradients, gradients
from vitrail.bench.core.report import Progress, Report, RoundsPlan, silent
from vitrail.bench.core.rounds import MedianInterval, Times, Timings, median_interval, run_rounds
from vitrail.errors import UsageError
from vitrail.models.components import MIXERS

REFERENCE = "softmax"  # the baseline of all ratios
MAX_BYTES = 2 * 2**30  # a size that may need more is left out


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """Square grids of these sides, and one call forward and backward of each mechanism on each."""

    sides: tuple[int, ...] = (16, 24, 32, 64)
    mechanisms: tuple[str, ...] = tuple(MIXERS)
    seconds: float = field(default=0.1, kw_only=True)
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.mechanisms:
            parse_component("attention", name, MIXERS)
        if not self.sides or min(self.sides) < 1 or len(set(self.sides)) < len(self.sides):
            raise UsageError("grids have sides of at least 1 place, and each is measured once")
        if self.threads < 1:
            raise UsageError("there is at least 1 thread")
        object.__setattr__(self, "sides", tuple(sorted(self.sides)))


@dataclass(frozen=True)
class Result:
    """One call forward and backward."""

    mechanism: str
    vectors: int
    milliseconds: MedianInterval
    peak_bytes: int
    speedup: MedianInterval | None  # over softmax at this size, where that was measured


@dataclass(frozen=True)
class Growth:
    """Slopes of log time and log memory over log vectors; null where fewer than two sizes were measured."""

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
class PartResults:
    """One part of all mechanisms, with the seconds a call of every round."""

    part: PartName
    background_load: float | None
    results: tuple[Result, ...]
    growth: tuple[Growth, ...]
    left_out: tuple[LeftOut, ...]
    rounds: Times

    def result(self, mechanism: str, vectors: int) -> Result | None:
        matches = (each for each in self.results if (each.mechanism, each.vectors) == (mechanism, vectors))
        return next(matches, None)

    def growth_of(self, mechanism: str) -> Growth:
        return next(each for each in self.growth if each.mechanism == mechanism)


@dataclass(frozen=True, kw_only=True)
class AttentionReport(Report):
    """All parts of all mechanisms, and their gradients."""

    plan: Plan
    measured: tuple[PartResults, ...]
    gradients: tuple[Gradients, ...]
    width: int = WIDTH
    heads: int = HEADS
    kind: Literal["attention"] = "attention"


def measure(plan: Plan, progress: Progress = silent) -> AttentionReport:
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        measured = tuple(measure_part(name, plan, progress) for name in PARTS)
        far = tuple(gradients(mechanism, plan.seed) for mechanism in plan.mechanisms)
        return AttentionReport(plan=plan, measured=measured, gradients=far)
    finally:
        torch.set_num_threads(before)


def measure_part(part: PartName, plan: Plan, progress: Progress) -> PartResults:
    cases: dict[str, tuple[Case, int]] = {}
    left_out: list[LeftOut] = []
    for mechanism in plan.mechanisms:
        progress(f"{part}: memory of {mechanism}")
        for item in cases_with_memory(part, mechanism, plan):
            if isinstance(item, LeftOut):
                left_out.append(item)
            else:
                cases[key(mechanism, item[0].vectors)] = item
    steps = {name: case.step for name, (case, _) in cases.items()}
    timings = run_rounds(steps, plan.rounds, plan.seconds, plan.seed, progress=lambda line: progress(f"{part}: {line}"))
    results = tuple(result_of(case, peak, timings) for case, peak in cases.values())
    growth = tuple(growth_of(mechanism, results, timings.rounds) for mechanism in plan.mechanisms)
    return PartResults(part, timings.background_load, results, growth, tuple(left_out), timings.rounds)


def cases_with_memory(part: PartName, mechanism: str, plan: Plan) -> Iterator[tuple[Case, int] | LeftOut]:
    """Each size that fits into memory with its peak bytes, smallest first; those that might not fit are left out."""
    largest: tuple[int, int] | None = None  # bytes and vectors
    for side in plan.sides:
        needed = extrapolated_bytes(*largest, side * side) if largest else 0
        if needed > MAX_BYTES:
            yield LeftOut(mechanism, side * side, needed)
            continue
        case = Case(part, mechanism, side, plan.seed)
        largest = peak_bytes(case), case.vectors
        yield case, largest[0]


def extrapolated_bytes(peak: int, vectors: int, more: int) -> int:
    """An upper bound of the bytes for `more` vectors, as if all memory grew with their square."""
    return round(peak * (more / vectors) ** 2)


def result_of(case: Case, peak: int, timings: Timings) -> Result:
    own, softmax = key(case.mechanism, case.vectors), key(REFERENCE, case.vectors)
    speedup = timings.speedup(own, softmax) if softmax in timings.rounds else None
    return Result(case.mechanism, case.vectors, timings.milliseconds(own), peak, speedup)


def growth_of(mechanism: str, results: Sequence[Result], times: Times) -> Growth:
    own = [each for each in results if each.mechanism == mechanism]
    vectors = tuple(each.vectors for each in own)
    if len(vectors) < 2:
        return Growth(mechanism, vectors, None, None)
    in_time = median_interval(slopes(vectors, [times[key(mechanism, count)] for count in vectors]))
    return Growth(mechanism, vectors, in_time, slope(vectors, [each.peak_bytes for each in own]))


def key(mechanism: str, vectors: int) -> str:
    return f"{mechanism} {vectors}"


def slope(vectors: Sequence[int], costs: Sequence[float]) -> float:
    """Of log cost over log vectors, by least squares: 1 is linear growth, 2 quadratic."""
    fit = np.polyfit([log(count) for count in vectors], [log(cost) for cost in costs], 1)
    return float(fit[0])


def slopes(vectors: Sequence[int], rounds: Sequence[Sequence[float]]) -> list[float]:
    """One slope a round; `rounds` has a row for each number of vectors."""
    return [slope(vectors, costs) for costs in zip(*rounds, strict=True)]
