"""Import, load and first prediction in fresh processes; then arrays through `Model.classify` beside the session."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

from vitrail.bench.core.columns import aligned, with_interval
from vitrail.bench.core.machine import Machine, installed_versions, this_machine
from vitrail.bench.core.rounds import LEAST_ROUNDS, Typical, alternate, typical
from vitrail.errors import UsageError
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
class Plan:
    model: str
    batches: tuple[int, ...] = (1, 8, 32)
    rounds: int = 7
    seconds: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < LEAST_ROUNDS:
            raise UsageError(f"an interval needs at least {LEAST_ROUNDS} rounds, not {self.rounds}")


@dataclass(frozen=True)
class Arrays:
    """One batch size: milliseconds of a call, and how many times as long as the bare session ours takes."""

    batch: int
    ours_ms: Typical
    bare_ms: Typical
    ours_over_bare: Typical


@dataclass(frozen=True)
class Report:
    plan: Plan
    machine: Machine
    versions: dict[str, str]
    starts: dict[str, Typical]  # seconds
    arrays: tuple[Arrays, ...]


def measure(plan: Plan, tell: Callable[[str], None]) -> Report:
    with Model(plan.model, provider="cpu") as model:
        starts = measure_starts(plan, model.card.input.size, tell)
        arrays = tuple(measure_arrays(plan, model, batch, tell) for batch in plan.batches)
    return Report(plan, this_machine(), installed_versions(), starts, arrays)


def measure_starts(plan: Plan, size: int, tell: Callable[[str], None]) -> dict[str, Typical]:
    order, random = list(PROGRAMS), Random(plan.seed)
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for done in range(plan.rounds):
        tell(f"starts: round {done + 1} of {plan.rounds}")
        random.shuffle(order)
        for name in order:
            seconds[name].append(run_program(PROGRAMS[name], plan.model, size))
    return {name: typical(times) for name, times in seconds.items()}


def run_program(program: str, model: str, size: int) -> float:
    command = [sys.executable, "-c", program, str(Path(model).absolute()), str(size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_arrays(plan: Plan, model: Model, batch: int, tell: Callable[[str], None]) -> Arrays:
    """Canvases that are in memory: what is left is making predictions of rows."""
    size, session = model.card.input.size, model.session
    canvases = np.random.default_rng(plan.seed).integers(0, 256, (batch, size, size, 3), np.uint8)
    steps = {"ours": lambda: model.classify(canvases), "bare": lambda: session.run(None, {"image": canvases})}
    times = alternate(
        steps,
        plan.rounds,
        plan.seconds,
        plan.seed,
        perf_counter,
        lambda done: tell(f"arrays of {batch}: round {done + 1} of {plan.rounds}"),
    )
    ours, bare = ([1000 * seconds for seconds in times[name]] for name in ("ours", "bare"))
    ratios = typical(our / plain for our, plain in zip(ours, bare, strict=True))
    return Arrays(batch, typical(ours), typical(bare), ratios)


def report_text(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return "\n".join(
        [
            f"{report.plan.model}, on {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB",
            versions,
            "",
            "fresh processes, seconds",
            aligned([["", "median", "interval"], *([name, *cells(one)] for name, one in report.starts.items())]),
            "",
            "arrays through Model.classify beside session.run, milliseconds a call",
            aligned([["batch", "ours", "bare", "ours over bare"], *map(row, report.arrays)]),
        ]
    )


def cells(one: Typical) -> Sequence[str]:
    return f"{one.value:.3f}", f"[{one.low:.3f}, {one.high:.3f}]"


def row(one: Arrays) -> Sequence[str]:
    numbers = f"{one.ours_ms.value:.3f}", f"{one.bare_ms.value:.3f}"
    return str(one.batch), *numbers, with_interval(one.ours_over_bare)
