"""Builds and runs of timm's training script in turns: test accuracy with the same weights, split and CPU time."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any, Literal

from scipy.stats import t

import vitrail
from vitrail.bench.build.peer import TimmScript, epochs_within, link_parts
from vitrail.bench.core.command import Cost, run
from vitrail.bench.core.report import Progress, Report, silent
from vitrail.bench.core.tables import interval_text, text_table
from vitrail.errors import UsageError
from vitrail.tasks.intervals import Estimate

CONFIDENCE = 0.9


@dataclass(frozen=True)
class Plan:
    """What is built, how often and in what time."""

    sets: tuple[str, ...]
    weights: str  # a folder of pretrained weights
    script: str  # timm's train.py
    minutes: float = 5.0
    seeds: int = 3

    def __post_init__(self) -> None:
        if self.seeds * len(self.sets) < 2:
            raise UsageError("one pair has no interval: give two seeds or more")
        for path in (*self.sets, self.weights, self.script):
            if not Path(path).exists():
                raise UsageError(f"there is nothing at {path}")


@dataclass(frozen=True)
class Pair:
    """One build and one run of the script with what it used."""

    path: str
    seed: int
    network: str
    ours: float  # test accuracy
    theirs: float
    our_cost: Cost
    their_cost: Cost
    first_model: float  # seconds until there was one
    epochs: int  # of the script


@dataclass(frozen=True, kw_only=True)
class BuildReport(Report):
    """All pairs."""

    plan: Plan
    pairs: tuple[Pair, ...]
    kind: Literal["build"] = "build"

    @property
    def gain(self) -> Estimate:
        return mean_difference([100 * (pair.ours - pair.theirs) for pair in self.pairs])


def mean_difference(differences: Sequence[float]) -> Estimate:
    """The mean of paired differences, with Student's 90 % interval."""
    value, error = mean(differences), stdev(differences) / len(differences) ** 0.5
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * error
    return Estimate("difference", value, value - half, value + half)


def measure(plan: Plan, progress: Progress = silent) -> BuildReport:
    pairs: list[Pair] = []
    epochs: dict[tuple[str, str], tuple[Cost, Cost]] = {}
    for seed in range(plan.seeds):
        for path in plan.sets:
            with TemporaryDirectory(prefix="vitrail-bench-") as folder:
                pairs.append(pair_of(plan, path, seed, Path(folder), epochs))
            last = pairs[-1]
            progress(
                f"{path}, seed {seed}, {last.network}: {100 * last.ours:.1f} % in {last.our_cost.cpu_seconds:.0f} "
                f"CPU-seconds, first model after {last.first_model:.0f} s; timm {100 * last.theirs:.1f} % in "
                f"{last.their_cost.cpu_seconds:.0f}, {last.epochs} epochs"
            )
    return BuildReport(plan=plan, pairs=tuple(pairs))


def pair_of(plan: Plan, path: str, seed: int, folder: Path, known: dict[tuple[str, str], tuple[Cost, Cost]]) -> Pair:
    output = folder / "model"
    moments: list[float] = []

    def watch(seconds: float) -> None:
        if not moments and (output / "model.onnx").is_file():
            moments.append(seconds)

    cost = run(build_command(plan, path, seed, output), folder / "build.log", watch)
    with vitrail.load(output) as model:
        card: Any = model.card
    network = str(card.architecture["init_args"]["name"])
    weights = Path(plan.weights) / f"{network}.safetensors"
    script, data = TimmScript(Path(plan.script), network, weights, len(card.classes), seed), folder / "data"
    link_parts(path, seed, data)
    if (path, network) not in known:
        known[path, network] = script.start(folder / "start.log"), script.train(data, folder / "one", 1)
    start, one = known[path, network]
    epochs = epochs_within(cost.cpu_seconds, start.cpu_seconds, one.cpu_seconds)
    their_cost = script.train(data, folder / "theirs", epochs)
    theirs = script.test_accuracy(folder / "theirs", data)
    return Pair(path, seed, network, card.test_accuracy.value, theirs, cost, their_cost, moments[0], epochs)


def build_command(plan: Plan, path: str, seed: int, output: Path) -> list[str]:
    options = {"--output": output, "--minutes": plan.minutes, "--weights": plan.weights, "--seed": seed}
    given = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "vitrail", "build", path, *given, "--offline", "--duplicates", "allow"]


def report_text(report: BuildReport) -> str:
    plan = report.plan
    rows = [["set", "seed", "network", "build, %", "timm, %", "CPU-seconds", "timm's", "epochs", "first model, s"]]
    rows += [
        [
            Path(pair.path).name,
            str(pair.seed),
            pair.network,
            f"{100 * pair.ours:.1f}",
            f"{100 * pair.theirs:.1f}",
            f"{pair.our_cost.cpu_seconds:.0f}",
            f"{pair.their_cost.cpu_seconds:.0f}",
            str(pair.epochs),
            f"{pair.first_model:.0f}",
        ]
        for pair in report.pairs
    ]
    return "\n\n".join(
        [
            report.header(f"vitrail build --minutes {plan.minutes:g} beside timm's train.py, accuracy on test images"),
            text_table(rows),
            f"build minus timm, points: {interval_text(report.gain)} ({CONFIDENCE:.0%} interval of paired differences)",
        ]
    )
