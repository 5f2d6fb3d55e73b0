"""Import, load and first prediction in fresh processes; then arrays through `Model.classify` beside the session."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from vitrail.bench.core.report import Progress, Report, RoundsPlan, silent
from vitrail.bench.core.rounds import MedianInterval, median_interval, run_rounds
from vitrail.bench.core.tables import interval_text, text_table
from vitrail.model_file.model import Model

# Programs of fresh processes; each prints the seconds that it took, measured after Python itself has started.
IMPORT = """
from time import perf_counter
begin = perf_counter()
import vitrail
print(perf_counter() - begin)
import sys
assert "torch" not in sys.modules and "onnxruntime" not in sys.modules
"""
LOAD = """
import sys
from time import perf_counter
import numpy
image = numpy.zeros((int(sys.argv[2]), int(sys.argv[2]), 3), numpy.uint8)
begin = perf_counter()
import vitrail
vitrail.load(sys.argv[1], provider="cpu").classify(image)
print(perf_counter() - begin)
assert "torch" not in sys.modules
"""
BARE = """
import sys
from time import perf_counter
import numpy
image = numpy.zeros((1, int(sys.argv[2]), int(sys.argv[2]), 3), numpy.uint8)
begin = perf_counter()
import onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"]).run(None, {"image": image})
print(perf_counter() - begin)
"""
PROGRAMS = {"import vitrail": IMPORT, "load and first prediction": LOAD, "onnxruntime alone": BARE}


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """What to measure and how long."""

    model: str
    batches: tuple[int, ...] = (1, 8, 32)
    seconds: float = field(default=1.0, kw_only=True)


@dataclass(frozen=True)
class Arrays:
    """One batch size: milliseconds of a call, and the ratio of our time to the bare session's."""

    batch: int
    ours_ms: MedianInterval
    bare_ms: MedianInterval
    ours_over_bare: MedianInterval


@dataclass(frozen=True, kw_only=True)
class PythonReport(Report):
    """Start-up times, and calls on arrays."""

    plan: Plan
    starts: dict[str, MedianInterval]  # seconds
    arrays: tuple[Arrays, ...]
    kind: Literal["python"] = "python"


def measure(plan: Plan, progress: Progress = silent) -> PythonReport:
    with Model(plan.model, provider="cpu") as model:
        starts = measure_starts(plan, model.card.input.size, progress)
        arrays = tuple(measure_arrays(plan, model, batch, progress) for batch in plan.batches)
    return PythonReport(plan=plan, starts=starts, arrays=arrays)


def measure_starts(plan: Plan, size: int, progress: Progress) -> dict[str, MedianInterval]:
    order, random = list(PROGRAMS), Random(plan.seed)
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for number in range(plan.rounds):
        progress(f"starts: round {number + 1} of {plan.rounds}")
        random.shuffle(order)
        for name in order:
            seconds[name].append(run_program(PROGRAMS[name], plan.model, size))
    return {name: median_interval(times) for name, times in seconds.items()}


def run_program(program: str, model: str, size: int) -> float:
    command = [sys.executable, "-c", program, str(Path(model).absolute()), str(size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_arrays(plan: Plan, model: Model, batch: int, progress: Progress) -> Arrays:
    """Canvases in memory, so that the difference is the conversion of rows to predictions."""
    size, session = model.card.input.size, model.session
    canvases = np.random.default_rng(plan.seed).integers(0, 256, (batch, size, size, 3), np.uint8)
    steps = {"ours": lambda: model.classify(canvases), "bare": lambda: session.run(None, {"image": canvases})}
    timings = run_rounds(
        steps, plan.rounds, plan.seconds, plan.seed, progress=lambda line: progress(f"arrays of {batch}: {line}")
    )
    ratio = timings.speedup("bare", "ours")
    return Arrays(batch, timings.milliseconds("ours"), timings.milliseconds("bare"), ratio)


def report_text(report: PythonReport) -> str:
    starts = [("", "median", "interval"), *((name, *cells(one)) for name, one in report.starts.items())]
    arrays = [("batch", "ours", "bare", "ours over bare"), *map(row, report.arrays)]
    return (
        f"{report.header(report.plan.model)}\n\n"
        f"fresh processes, seconds\n{text_table(starts)}\n\n"
        f"arrays through Model.classify beside session.run, milliseconds a call\n{text_table(arrays)}"
    )


def cells(one: MedianInterval) -> Sequence[str]:
    return f"{one.value:.3f}", f"[{one.low:.3f}, {one.high:.3f}]"


def row(one: Arrays) -> Sequence[str]:
    numbers = f"{one.ours_ms.value:.3f}", f"{one.bare_ms.value:.3f}"
    return str(one.batch), *numbers, interval_text(one.ours_over_bare)
