"""What lies in the folder of a study, read into plain rows; what is damaged there is named, and counts as missing."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from vitrail.errors import DataError, UsageError
from vitrail.training.study.jobs import Done, Job, Result, Timing
from vitrail.training.study.outcomes import outcomes_of
from vitrail.training.study.plan import Plain
from vitrail.training.study.resolved_plan import ResolvedPlan, hash_of
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.forecast import forecast
from vitrail.training.study.store import FAILED, PREDICTIONS, RESULT


@dataclass(frozen=True)
class Lost:
    """A run that is not part of the report, by its folder's name, and why."""

    run: str
    why: str


@dataclass(frozen=True)
class Found:
    """A study as its folder has it."""

    settled: ResolvedPlan
    hash: str
    reported: tuple[Done, ...]
    trials: tuple[Done, ...]  # of learning rates
    lost: tuple[Lost, ...]
    unused_seeds: tuple[int, ...]  # planned, without any run
    latencies: dict[str, float]  # milliseconds of the exported model, by contender
    environment: Plain
    forecast: Forecast

    def runs(self, contender: str, size: int) -> list[Done]:
        """The reported ones of one contender and size, by seed."""
        return [done for done in self.reported if (done.job.contender, done.job.size) == (contender, size)]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(contender.name for contender in self.settled.contenders)


def read_study(folder: Path) -> Found:
    plain, settled = read_plan(folder / "plan.json")
    found = [read_run(path) for path in sorted(folder.glob(f"runs/*/{RESULT}"))]
    runs = sorted((one for one in found if isinstance(one, Done)), key=lambda done: place(settled, done.job))
    reported = tuple(done for done in runs if not done.job.tries)
    if not reported:
        raise DataError(f"{folder} has no finished run that could be reported: let `vitrail study` finish some first")
    seeds = {done.job.seed for done in reported}
    broken = {one.run: one.why for one in found if isinstance(one, Lost)}
    return Found(
        settled=settled,
        hash=plain["hash"],
        reported=reported,
        trials=tuple(done for done in runs if done.job.tries),
        lost=tuple(lost(settled, runs, read_faults(folder / FAILED) | broken, seeds)),
        unused_seeds=tuple(seed for seed in settled.plan.seeds if seed not in seeds),
        latencies=read_latencies(folder / "timings.csv"),
        environment=read_plain(folder / "environment.json"),
        forecast=forecast(outcomes_of(settled, folder, [done.job for done in reported])),
    )


def read_plan(path: Path) -> tuple[Plain, ResolvedPlan]:
    if not path.is_file():
        raise UsageError(f"{path.parent} is no study: it has no {path.name}")
    try:
        plain: Plain = json.loads(path.read_text())
        settled = ResolvedPlan.from_plain(plain)
        changed = plain["hash"] != hash_of({key: value for key, value in plain.items() if key != "hash"})
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{path} is damaged: no report can say what was planned") from fault
    if changed:
        raise DataError(f"{path} was changed by hand: no report can say what was planned")
    return plain, settled


def read_run(path: Path) -> Done | Lost:
    """One run; the answers from which all statistics follow must be those that it wrote."""
    name = path.parent.name
    try:
        content: Plain = json.loads(path.read_text())
        done = Done(Job(**content["job"]), Result(**content["result"]), Timing(**content["timing"]))
        digest = sha256((path.parent / PREDICTIONS).read_bytes()).hexdigest()
        changed = digest != content["sha256"][PREDICTIONS]
    except (ValueError, KeyError, TypeError, OSError) as fault:
        return Lost(name, f"its files are damaged ({type(fault).__name__})")
    if changed or done.job.name != name:
        return Lost(name, "its files are not what the run wrote")
    return done


def place(settled: ResolvedPlan, job: Job) -> tuple[int, int, float, int]:
    """In tables: contenders as the plan names them, then sizes, rates and seeds, ascending."""
    names = [contender.name for contender in settled.contenders]
    order = names.index(job.contender) if job.contender in names else len(names)
    return order, job.size, job.rate if job.tries else 0.0, job.seed


def lost(settled: ResolvedPlan, runs: Iterable[Done], faults: dict[str, str], seeds: set[int]) -> list[Lost]:
    """Runs that were planned and are not there; seeds that were never begun are told of as a whole."""
    there = {done.job.name for done in runs}
    planned = [
        Job(contender.name, size, seed, 0.0).name
        for contender in settled.contenders
        for size in settled.sizes
        for seed in settled.plan.seeds
        if seed in seeds
    ]
    missing = dict.fromkeys((name for name in planned if name not in there), "not there, and nothing says why")
    missing |= {name: why for name, why in faults.items() if name not in there}
    return [Lost(name, why) for name, why in missing.items()]


def read_faults(path: Path) -> dict[str, str]:
    return {str(name): str(why) for name, why in read_plain(path).items()}


def read_latencies(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("what") == "exported"]
    try:
        return {row["contender"]: float(row["latency_milliseconds"]) for row in rows}
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path} is damaged: run the study again, finished runs are kept") from fault


def read_plain(path: Path) -> Plain:
    """A JSON object; none where there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as fault:
        raise DataError(f"{path} is damaged: remove it") from fault
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: remove it")
    return content
