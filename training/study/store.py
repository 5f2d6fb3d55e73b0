"""The folder of a study: its plan, one folder a run with `result.json` written last, and what is damaged there."""

import json
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vitrail.atomic import write_atomically
from vitrail.errors import DataError, UsageError
from vitrail.training.runs import write_json
from vitrail.training.study.jobs import Done, Job, Result, Timing
from vitrail.training.study.plan import Plain, Plan
from vitrail.training.study.resolved_plan import ResolvedPlan, differences, hash_of

NAMED = 5  # differences told of, at most
RESULT = "result.json"
PREDICTIONS = "predictions.npz"
FAILED = "failed.json"  # why runs have no result: their names and what was wrong


def planned_before(folder: Path, plan: Plan, fingerprint: str) -> ResolvedPlan | None:
    """The settled plan that lies in the folder, if it is of this plan and of these images; of another, refused."""
    path = folder / "plan.json"
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds something else than a study: choose another --folder")
        return None
    try:
        there = json.loads(path.read_text())
        settled = ResolvedPlan.from_plain(there)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{path} is damaged: remove it, or choose another --folder") from fault
    here = json.loads(json.dumps({"plan": asdict(plan), "fingerprint": fingerprint}))
    found = list(differences({key: there[key] for key in here}, here))
    if found:
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise UsageError(
            f"{folder} holds a study of another plan: {'; '.join(found[:NAMED])}{more}. Choose another --folder"
        )
    if there["hash"] != hash_of({key: value for key, value in there.items() if key != "hash"}):
        raise DataError(f"{path} was changed by hand: remove it, or choose another --folder")
    return settled


def keep_plan(folder: Path, settled: ResolvedPlan) -> None:
    write_json(folder / "plan.json", settled.to_plain())


def run_folder(folder: Path, job: Job) -> Path:
    return folder / "runs" / job.name


def keep(folder: Path, done: Done) -> None:
    """Everything of a finished run; `result.json` last, so that it is there only with all the rest."""
    assert done.result is not None
    assert done.timing is not None
    place = run_folder(folder, done.job)
    for name, file in done.files.items():
        write_atomically(place / name, file)
    content = {
        "job": asdict(done.job),
        "result": asdict(done.result),
        "timing": asdict(done.timing),
        "sha256": {name: sha256(file).hexdigest() for name, file in done.files.items()},
    }
    write_json(place / RESULT, content)


def finished(folder: Path, job: Job, say: Callable[[str], None]) -> Done | None:
    """A run as an earlier call left it; a damaged one is named, and is as good as none."""
    place = run_folder(folder, job)
    if not (place / RESULT).is_file():
        return None
    try:
        content: Plain = json.loads((place / RESULT).read_text())
        done = Done(Job(**content["job"]), Result(**content["result"]), Timing(**content["timing"]))
        kept = {name: sha256((place / name).read_bytes()).hexdigest() for name in content["sha256"]}
    except (ValueError, KeyError, TypeError, OSError) as fault:
        say(f"{place / RESULT} is damaged ({type(fault).__name__}): this run is done again")
        return None
    changed = sorted(name for name, digest in content["sha256"].items() if kept[name] != digest)
    if done.job != job or changed:
        say(f"{place / (changed[0] if changed else RESULT)} is not what the run wrote: this run is done again")
        return None
    return done


def wrong_answers(folder: Path, job: Job) -> NDArray[np.bool_]:
    """For each test image whether this run answered it wrongly."""
    path = run_folder(folder, job) / PREDICTIONS
    try:
        with np.load(path) as kept:
            wrong: NDArray[np.bool_] = kept["probabilities"].argmax(axis=1) != kept["labels"]
    except (OSError, KeyError, ValueError, BadZipFile) as fault:
        raise DataError(f"{path} is damaged: remove its folder and run the study again") from fault
    return wrong
