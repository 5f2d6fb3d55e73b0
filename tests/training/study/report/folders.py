"""Folders of synthetic studies, written as a study writes its runs."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitrail.training.runs import write_json
from vitrail.training.study.jobs import FinishedRun, Job, Result, Timing, WrongImages
from vitrail.training.study.matched_cost import Matched
from vitrail.training.study.plan import Contender, Mode, Plain, Plan
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.synthetic import PAIRS, Pair, study
from vitrail.training.study.store import save_plan, save_run
from vitrail.training.study.tables import write_results, write_timings

CLASSES = tuple("0123456789")
RATE = 0.002
FACTORS = (0.5, 1.0, 2.0)
TRIED = (1000, 1001)  # the seeds that try rates
VERSIONS = {"python": "3.11.7", "vitrail": "0.1.0", "torch": "2.15.0"}


def pair(name: str) -> Pair:
    return next(one for one in PAIRS if one.name.startswith(name))


def outcomes_of(one: Pair, seeds: int = 3, images: int = 400) -> Outcomes:
    return study(one, seeds, images, np.random.default_rng(7))


def write_study(
    folder: Path,
    outcomes: Outcomes,
    names: tuple[str, ...] = ("ViT", "CNN"),
    missing: Collection[str] = (),
    mode: Mode = "equal-steps",
    limited: Collection[tuple[str, int]] = (),
) -> Path:
    """The whole folder; runs named in `missing` are left out; twice the steps help in `limited` cells."""
    resolved = resolved_for(outcomes, names, mode)
    save_plan(folder, resolved)
    write_json(folder / "environment.json", {"versions": VERSIONS, "processor": "a slow one", "cores": 2, "gpus": []})
    done = [run(outcomes, resolved, place) for place in np.ndindex(outcomes.done.shape) if outcomes.done[place]]
    tuned = [(name, size) for name in names for size in resolved.tuned_sizes]
    trials = [trial(*cell, factor, seed, resolved) for cell in tuned for factor in FACTORS for seed in TRIED]
    if mode == "trained-out":
        both = [trial(*cell, factor, seed, resolved) for cell in tuned for factor in FACTORS[:2] for seed in TRIED]
        trials += [doubled(one, (one.job.contender, one.job.size) in limited) for one in both]
    runs = [one for one in (*done, *trials) if one.job.name not in missing]
    for one in runs:
        save_run(folder, one)
    write_results(folder / "results.csv", [one for one in runs if not one.job.tries])
    write_timings(folder / "timings.csv", runs, dict(zip(names, (0.14, 0.086, 0.2), strict=False)))
    return folder


def resolved_for(outcomes: Outcomes, names: tuple[str, ...], mode: Mode = "equal-steps") -> ResolvedPlan:
    contenders = tuple(contender(name) for name in names)
    data: Plain = {"path": "digits", "size": 8, "resize": "squash", "batch_size": 128, "seed": 0}
    plan = Plan(
        "synthetic",
        data,
        contenders,
        outcomes.sizes,
        seeds=outcomes.seeds,
        mode=mode,
        rate_factors=FACTORS,
        rate_seeds=TRIED,
    )
    matched = {names[1]: Matched("flops", names[0], 40, 6_579_456.0, 6_693_440.0)}
    return ResolvedPlan(plan, "digits", "f1" * 32, CLASSES, outcomes.sizes, contenders, matched, {})


def contender(name: str) -> Contender:
    net = {"class_path": f"vitrail.models.{name}", "init_args": {"width": 40}}
    return Contender(name, {"net": net, "optimizer": {"init_args": {"lr": RATE}}})


def run(outcomes: Outcomes, resolved: ResolvedPlan, place: tuple[int, ...]) -> FinishedRun:
    """The reported run at [contender, size, seed], with the outcomes."""
    wrong = outcomes.wrong[place]
    name, size, seed = resolved.contenders[place[0]].name, outcomes.sizes[place[1]], outcomes.seeds[place[2]]
    return FinishedRun(
        Job(name, size, seed, RATE, steps=steps_of(resolved)),
        result(size, float(wrong.mean()), parameters=1000 * (place[0] + 1)),
        timing(1.0 + size / 1000),
        WrongImages.of(wrong),
        {"log.txt": b"trained\n", "best.ckpt": b"weights"},
    )


def steps_of(resolved: ResolvedPlan) -> int | None:
    return resolved.plan.steps if resolved.plan.mode == "trained-out" else None


def trial(name: str, size: int, factor: float, seed: int, resolved: ResolvedPlan) -> FinishedRun:
    """The middle rate is the best."""
    job = Job(name, size, seed, RATE * factor, tries=True, steps=steps_of(resolved))
    error = 0.1 + 0.05 * abs(FACTORS.index(factor) - 1)
    return FinishedRun(job, result(size, error, 1000), timing(1.0), wrong_in(error))


def doubled(one: FinishedRun, helps: bool) -> FinishedRun:
    """With twice the steps, and a lower error if they help."""
    assert one.result is not None
    assert one.job.steps is not None
    error = one.result.val_error * (0.7 if helps else 0.99)
    result = replace(one.result, val_error=error, val_loss=4 * error)
    return replace(one, job=replace(one.job, steps=2 * one.job.steps), result=result)


def result(size: int, error: float, parameters: int) -> Result:
    return Result(
        train_images=size - size // 5,
        val_images=size // 5,
        steps=300,
        best_step=270,
        train_error=error / 4,
        val_error=error,
        val_loss=4 * error,
        test_error=error,
        test_loss=4 * error,
        calibration_error=0.0321,
        parameters=parameters,
        flops=6_693_440,
    )


def timing(seconds: float) -> Timing:
    return Timing(seconds, 0.9 * seconds, 3000.0, 0.0, None, "worker-1")


def wrong_in(error: float, images: int = 2000) -> WrongImages:
    """The first images are predicted wrongly."""
    return WrongImages.of(np.arange(images) < round(error * images))
