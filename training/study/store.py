"""The folder of a study: its plan, and one folder a run with `result.json` written last; both verified when read."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.atomic import write_atomically
from vitrail.errors import DataError, UsageError
from vitrail.models import Architecture
from vitrail.training.runs import write_json
from vitrail.training.study.jobs import FinishedRun, Job, Result, Timing, WrongImages
from vitrail.training.study.learning_rates import choose
from vitrail.training.study.lengths import Lengths, found, is_limited, length_at
from vitrail.training.study.plan import Plain, Plan
from vitrail.training.study.resolved_plan import ResolvedPlan, differences, hash_of
from vitrail.training.study.statistics.baseline import Baseline
from vitrail.training.study.statistics.outcomes import Outcomes

MAX_DIFFERENCES = 5  # listed in an error
PLAN = "plan.json"
RESULT = "result.json"
SAME = 1e-9  # test errors, computed in two ways
FAILED = "failed.json"  # runs without a result, by name, and their errors
BASELINES_FILE = "baselines.json"


def existing_plan(folder: Path, plan: Plan, fingerprint: str) -> ResolvedPlan | None:
    """The resolved plan stored in the folder, None in a new one; refused if it is of another plan or other images.

    More seeds and longer runs than it had make it grow: its finished runs stay.
    """
    path = folder / PLAN
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} contains something other than a study: choose another --folder")
        return None
    stored, resolved = parse_plan(path)
    given = json.loads(json.dumps({"plan": asdict(plan), "fingerprint": fingerprint}))
    changes = list(differences(with_growth(stored, given["plan"]), given))
    if changes:
        more = f"; and {len(changes) - MAX_DIFFERENCES} more" if len(changes) > MAX_DIFFERENCES else ""
        raise UsageError(
            f"{folder} holds a study of another plan: {'; '.join(changes[:MAX_DIFFERENCES])}{more}. "
            "Choose another --folder"
        )
    require_unchanged(path, stored)
    return replace(resolved, plan=replace(resolved.plan, seeds=plan.seeds, most_steps=plan.most_steps))


def with_growth(stored: Plain, given: Plain) -> Plain:
    """A stored plan and its fingerprint, with the seeds and the longest runs of a given plan that has more of them.

    And with options of networks that are newer than the plan, at their defaults.
    """
    plan: Plain = dict(stored["plan"])
    if set(plan["seeds"]) <= set(given["seeds"]):
        plan["seeds"] = given["seeds"]
    if plan.get("most_steps", 0) <= given["most_steps"]:
        plan["most_steps"] = given["most_steps"]
    if len(plan["contenders"]) == len(given["contenders"]):
        pairs = zip(plan["contenders"], given["contenders"], strict=True)
        plan["contenders"] = [with_new_options(*pair) for pair in pairs]
    return {"plan": plan, "fingerprint": stored["fingerprint"]}


def with_new_options(stored: Plain, given: Plain) -> Plain:
    """A stored contender, with the options of its network that a given one has and it lacks, at their defaults."""
    network, wanted = stored["model"]["net"], given["model"]["net"]
    if network["class_path"] != wanted["class_path"] or wanted["init_args"].keys() <= network["init_args"].keys():
        return stored
    known = fields(Architecture.from_plain(wanted))
    defaults = {one.name: one.default for one in known if one.name in wanted["init_args"]}
    filled = {**network, "init_args": {**defaults, **network["init_args"]}}
    return {**stored, "model": {**stored["model"], "net": filled}}


def read_plan(folder: Path) -> ResolvedPlan:
    path = folder / PLAN
    if not path.is_file():
        raise UsageError(f"{folder} is not a study: it has no {PLAN}")
    stored, resolved = parse_plan(path)
    require_unchanged(path, stored)
    return resolved


def parse_plan(path: Path) -> tuple[Plain, ResolvedPlan]:
    try:
        stored: Plain = json.loads(path.read_text())
        return stored, ResolvedPlan.from_plain(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{path} is damaged: restore it, or use another folder") from fault


def require_unchanged(path: Path, stored: Plain) -> None:
    if stored.get("hash") != hash_of({key: value for key, value in stored.items() if key != "hash"}):
        raise DataError(f"{path} was changed by hand: restore it, or use another folder")


def save_plan(folder: Path, resolved: ResolvedPlan) -> None:
    write_json(folder / PLAN, resolved.to_plain())


def run_folder(folder: Path, job: Job) -> Path:
    return folder / "runs" / job.name


def save_run(folder: Path, done: FinishedRun) -> None:
    """All files of a finished run; `result.json` last, so that it exists only with the others."""
    assert done.result is not None
    assert done.timing is not None
    assert done.wrong is not None
    run_path = run_folder(folder, done.job)
    for name, file in done.files.items():
        write_atomically(run_path / name, file)
    content = {
        "job": asdict(done.job),
        "result": asdict(done.result),
        "timing": asdict(done.timing),
        "wrong": asdict(done.wrong),
        "sha256": {name: sha256(file).hexdigest() for name, file in done.files.items()},
    }
    write_json(run_path / RESULT, content)


def saved_run(folder: Path, job: Job, log: Callable[[str], None]) -> FinishedRun | None:
    """The run of an earlier call; a damaged one is logged and counts as missing."""
    run_path = run_folder(folder, job)
    if not (run_path / RESULT).is_file():
        return None
    try:
        done = read_run(run_path)
    except DataError as fault:
        log(f"{fault}: repeating this run")
        return None
    if done.job != job:
        log(f"{run_path.name}/{RESULT} is of another run: repeating this run")
        return None
    return done


def read_run(run_path: Path, verify: bool = True) -> FinishedRun:
    """The run in this folder, without its files. Those that are still there are what it wrote, unless `verify` is off.

    What the statistics need is in `result.json`, so a folder may go on without weights and probabilities.
    """
    try:
        content: Plain = json.loads((run_path / RESULT).read_text())
        run = Job(**content["job"]), Result(**content["result"]), Timing(**content["timing"])
        wrong = WrongImages(**content["wrong"])
        consistent = abs(wrong.as_array().mean() - run[1].test_error) < SAME
        changed = changed_files(run_path, content["sha256"]) if verify else []
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as fault:
        raise DataError(f"{run_path.name}/{RESULT} or a file of its run is damaged ({type(fault).__name__})") from fault
    if changed or not consistent or run[0].name != run_path.name:
        raise DataError(f"{run_path.name}/{changed[0] if changed else RESULT} is not what the run wrote")
    return FinishedRun(*run, wrong)


def changed_files(run_path: Path, digests: dict[str, str]) -> list[str]:
    """Of the files that a run wrote and that are still there, those that are not as it wrote them."""
    there = [name for name in sorted(digests) if (run_path / name).is_file()]
    return [name for name in there if sha256((run_path / name).read_bytes()).hexdigest() != digests[name]]


def lengths_of(resolved: ResolvedPlan, trials: Iterable[FinishedRun]) -> Lengths:
    """Found by the trials; none where the plan says how long runs are."""
    tried = {done.job: done.result for done in trials if done.result}
    return found(tried, choose(tried), resolved.plan.tolerance) if resolved.plan.mode == "trained-out" else {}


def outcomes_of(
    resolved: ResolvedPlan, reported: Iterable[FinishedRun], trials: Iterable[FinishedRun] = ()
) -> Outcomes:
    """Which test images every reported run got wrong; seeds without runs are left out, other missing runs marked.

    Trials tell which cells are limited by their budget.
    """
    reported = list(reported)
    runs = {(one.job.contender, one.job.size, one.job.seed): one.wrong.as_array() for one in reported if one.wrong}
    seeds = tuple(seed for seed in resolved.plan.seeds if any(key[2] == seed for key in runs))
    names = tuple(contender.name for contender in resolved.contenders)
    images = len(next(iter(runs.values()), ()))
    shape = (len(names), len(resolved.sizes), len(seeds))
    wrong, done = np.zeros((*shape, images), np.bool_), np.zeros(shape, np.bool_)
    for index in np.ndindex(shape):
        contender, size, seed = index
        key = (names[contender], resolved.sizes[size], seeds[seed])
        if key in runs:
            wrong[index], done[index] = runs[key], True
    return Outcomes(names, resolved.sizes, seeds, wrong, done, limited_cells(resolved, reported, trials))


def limited_cells(
    resolved: ResolvedPlan, reported: Iterable[FinishedRun], trials: Iterable[FinishedRun]
) -> NDArray[np.bool_]:
    """Whether the runs of a contender and size are too short, or not known to be long enough, [C, S]."""
    lengths = lengths_of(resolved, trials)
    limited = np.zeros((len(resolved.contenders), len(resolved.sizes)), np.bool_)
    for row, contender in enumerate(resolved.contenders):
        for column, size in enumerate(resolved.sizes):
            runs = [one for one in reported if (one.job.contender, one.job.size) == (contender.name, size)]
            known = lengths.get(contender.name)
            wanted = None if known is None else length_at(size, known, resolved.plan.validations)
            limited[row, column] = is_limited(runs, wanted)
    return limited


def read_baselines(folder: Path) -> tuple[Baseline, ...]:
    """Those that were measured; none in a study of an earlier version."""
    path = folder / BASELINES_FILE
    if not path.is_file():
        return ()
    try:
        return tuple(Baseline(**one) for one in json.loads(path.read_text())["baselines"])
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path} is damaged: remove it, and run the study again, which reuses finished runs") from fault
