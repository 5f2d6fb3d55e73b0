"""A study read from its folder; damaged runs are listed and count as missing."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vitrail.errors import DataError
from vitrail.training.study.choice import validation_scores
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.learning_rates import Score
from vitrail.training.study.lengths import Lengths
from vitrail.training.study.plan import Plain
from vitrail.training.study.prices import Prices, read_prices
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.baseline import Baseline
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.forecast import forecast
from vitrail.training.study.store import (
    FAILED,
    RESULT,
    lengths_of,
    outcomes_of,
    read_baselines,
    read_plan,
    read_run,
)


@dataclass(frozen=True)
class MissingRun:
    """A run left out of the report, by the name of its folder, and the reason."""

    run: str
    reason: str


@dataclass(frozen=True)
class StudyResults:
    """Everything a report is made from."""

    resolved: ResolvedPlan
    reported: tuple[FinishedRun, ...]
    trials: tuple[FinishedRun, ...]  # of learning rates
    missing_runs: tuple[MissingRun, ...]
    unused_seeds: tuple[int, ...]  # planned, without any run
    latencies: dict[str, float]  # milliseconds of the exported model, by contender
    environment: Plain
    forecast: Forecast
    baselines: tuple[Baseline, ...]
    prices: Prices

    def runs(self, contender: str, size: int) -> list[FinishedRun]:
        """The reported runs of one contender and size, by seed."""
        return [done for done in self.reported if (done.job.contender, done.job.size) == (contender, size)]

    @cached_property
    def lengths(self) -> Lengths:
        return lengths_of(self.resolved, self.trials)

    @cached_property
    def validation_scores(self) -> dict[str, Score]:
        """At the largest size, the best contender first."""
        return validation_scores(self.reported, self.forecast.sizes[-1])

    @property
    def has_curves(self) -> bool:
        """Whether there is more than one size."""
        return len(self.forecast.sizes) > 1

    @property
    def has_choice(self) -> bool:
        """Whether one of many is to be chosen, rather than the curves of a few to be compared."""
        return not self.has_curves or any(one.varied for one in self.resolved.contenders)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(contender.name for contender in self.resolved.contenders)


def read_study(folder: Path) -> StudyResults:
    return collect_results(folder, read_plan(folder))


def collect_results(folder: Path, resolved: ResolvedPlan, verified: Iterable[FinishedRun] = ()) -> StudyResults:
    """All runs in the folder; those that were verified already are not read again."""
    known = {done.job.name: done for done in verified}
    runs, damaged = list[FinishedRun](), dict[str, str]()
    for path in sorted(folder.glob(f"runs/*/{RESULT}")):
        name = path.parent.name
        try:
            runs.append(known[name] if name in known else read_run(path.parent, verify=False))
        except DataError as fault:
            damaged[name] = str(fault)
    reported = [done for done in in_order(resolved, runs) if not done.job.tries]
    trials = [done for done in runs if done.job.tries]
    if not reported:
        raise DataError(f"{folder} has no finished run to report: let `vitrail study` finish some first")
    return results_of(folder, resolved, runs, forecast(outcomes_of(resolved, reported, trials)), damaged)


def results_of(
    folder: Path,
    resolved: ResolvedPlan,
    runs: Iterable[FinishedRun],
    forecast: Forecast,
    damaged: Mapping[str, str] | None = None,
) -> StudyResults:
    """These runs and their forecast, with the smaller files of the folder."""
    ordered = in_order(resolved, runs)
    reported = tuple(done for done in ordered if not done.job.tries)
    seeds = {done.job.seed for done in reported}
    faults = {str(name): str(reason) for name, reason in read_plain(folder / FAILED).items()}
    return StudyResults(
        resolved=resolved,
        reported=reported,
        trials=tuple(done for done in ordered if done.job.tries),
        missing_runs=tuple(missing_runs(resolved, ordered, faults | dict(damaged or {}), seeds)),
        unused_seeds=tuple(seed for seed in resolved.plan.seeds if seed not in seeds),
        latencies=read_latencies(folder / "timings.csv"),
        environment=read_plain(folder / "environment.json"),
        forecast=forecast,
        baselines=read_baselines(folder),
        prices=read_prices(folder),
    )


def in_order(resolved: ResolvedPlan, runs: Iterable[FinishedRun]) -> list[FinishedRun]:
    return sorted(runs, key=lambda done: sort_key(resolved, done.job))


def sort_key(resolved: ResolvedPlan, job: Job) -> tuple[int, int, float, int, int]:
    """Contenders in the order of the plan, then sizes, rates, steps and seeds, ascending."""
    names = [contender.name for contender in resolved.contenders]
    order = names.index(job.contender) if job.contender in names else len(names)
    return order, job.size, job.rate if job.tries else 0.0, job.steps or 0, job.seed


def missing_runs(
    resolved: ResolvedPlan, runs: Iterable[FinishedRun], faults: dict[str, str], seeds: set[int]
) -> list[MissingRun]:
    """Planned runs without a result; `seeds` are those with any run."""
    finished = {done.job.name for done in runs}
    planned = [
        Job(contender.name, size, seed, 0.0).name
        for contender in resolved.contenders
        for size in resolved.sizes
        for seed in resolved.plan.seeds
        if seed in seeds
    ]
    missing = dict.fromkeys((name for name in planned if name not in finished), "not found, for an unknown reason")
    missing |= {name: reason for name, reason in faults.items() if name not in finished}
    return [MissingRun(name, reason) for name, reason in missing.items()]


def read_latencies(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("what") == "exported"]
    try:
        return {row["contender"]: float(row["latency_milliseconds"]) for row in rows}
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path} is damaged: run the study again, which reuses finished runs") from fault


def read_plain(path: Path) -> Plain:
    """A JSON object; empty if there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as fault:
        raise DataError(f"{path} is damaged: remove it") from fault
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: remove it")
    return content
