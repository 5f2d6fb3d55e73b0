"""The order of a study's runs, with workers that train nothing: rates first, each run stored, failures isolated."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.scheduler import Scheduler, all_runs
from vitrail.training.study.statistics.outcomes import Outcomes

from .report.folders import FACTORS, RATE, TRIED, resolved_for, result, timing, wrong_in

SIZES, SEEDS = (60, 120), (0, 1, 2)
PLANNED = Outcomes(("ViT", "CNN"), SIZES, SEEDS, np.zeros((2, 2, 3, 4), np.bool_), np.zeros((2, 2, 3), np.bool_))
TRIALS = len(SIZES) * 2 * len(FACTORS) * len(TRIED)
REPORTED = len(SIZES) * 2 * len(SEEDS)


class IdleWorkers:
    """Every run ends at once, except those that are named to fail; the middle rate has the lowest error."""

    size = 1

    def __init__(self, failing: Collection[str] = ()) -> None:
        self.failing = failing
        self.jobs: list[Job] = []

    def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
        for job in jobs:
            self.jobs.append(job)
            if job.name in self.failing:
                yield FinishedRun(job, fault="out of memory")
            else:
                error = 0.1 if job.rate == RATE else 0.3
                yield FinishedRun(job, result(job.size, error, 1000), timing(2.0), wrong_in(error), {"log.txt": b""})


class Recorder:
    """What a display is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: list[tuple[int, int]] = []
        self.left: list[float | None] = []

    def message(self, line: str) -> None:
        self.lines.append(line)

    def run_finished(self, done: FinishedRun, count: int, total: int, left: float | None) -> None:
        self.counts.append((count, total))
        self.left.append(left)

    def close(self) -> None:
        pass


@pytest.fixture
def resolved() -> ResolvedPlan:
    return resolved_for(PLANNED, PLANNED.contenders)


def scheduler(resolved: ResolvedPlan, folder: Path) -> tuple[Scheduler, Recorder]:
    recorder = Recorder()
    return Scheduler(resolved, folder, recorder), recorder


def test_rates_are_tried_first_and_the_best_is_reported(resolved: ResolvedPlan, tmp_path: Path) -> None:
    workers = IdleWorkers()
    study, recorder = scheduler(resolved, tmp_path)
    study.run(workers)
    trials, reported = workers.jobs[:TRIALS], workers.jobs[TRIALS:]
    assert all(job.tries and job.seed in TRIED for job in trials)
    assert {job.rate for job in trials} == {RATE * factor for factor in FACTORS}
    assert [job.size for job in trials] == sorted((job.size for job in trials), reverse=True)
    assert [(job.contender, job.size, job.seed, job.rate) for job in reported] == [
        (name, size, seed, RATE) for seed in SEEDS for size in (120, 60) for name in ("ViT", "CNN")
    ]
    assert study.outcomes().done.all()
    total = TRIALS + REPORTED
    assert recorder.counts == [(number, total) for number in range(1, total + 1)]
    assert recorder.left == [pytest.approx(2.0 * left) for left in range(total - 1, -1, -1)]


def test_a_second_call_runs_what_is_missing_and_nothing_else(resolved: ResolvedPlan, tmp_path: Path) -> None:
    first = IdleWorkers(failing={"CNN-60-s1"})
    study, _ = scheduler(resolved, tmp_path)
    study.run(first)
    assert [done.job.name for done in study.failed] == ["CNN-60-s1"]
    assert not study.outcomes().done[1, 0, 1]
    second = IdleWorkers()
    study, recorder = scheduler(resolved, tmp_path)
    study.run(second)
    assert [job.name for job in second.jobs] == ["CNN-60-s1"]
    assert recorder.lines == [f"{TRIALS} runs are finished already", f"{REPORTED - 1} runs are finished already"]
    assert study.outcomes().done.all()


def test_a_contender_with_a_failed_trial_takes_no_further_part(resolved: ResolvedPlan, tmp_path: Path) -> None:
    workers = IdleWorkers(failing={f"CNN-60-s{TRIED[0]}-tune-{RATE:.3g}"})
    study, _ = scheduler(resolved, tmp_path)
    study.run(workers)
    assert {job.contender for job in workers.jobs if not job.tries} == {"ViT"}
    done = study.outcomes().done
    assert done[0].all()
    assert not done[1].any()


def test_a_stop_rule_is_asked_after_each_seed_and_the_saved_runs_are_counted(
    resolved: ResolvedPlan, tmp_path: Path
) -> None:
    seen: list[tuple[int, ...]] = []

    def after_two_seeds(outcomes: Outcomes) -> bool:
        seen.append(outcomes.seeds)
        return len(outcomes.seeds) == 2

    workers = IdleWorkers()
    study, recorder = scheduler(resolved, tmp_path)
    study.run(workers, after_two_seeds)
    assert seen == [(0,), (0, 1)]
    assert [job.seed for job in workers.jobs[TRIALS:]] == [0] * 4 + [1] * 4
    assert recorder.lines == ["stopping after 2 of 3 seeds: 4 runs saved, about 8 s"]


class Learners(IdleWorkers):
    """Twice the steps halve the error of the ViT up to so many of them; a step takes a hundredth of a second."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough = enough

    def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
        for job in jobs:
            self.jobs.append(job)
            assert job.steps is not None
            steps = min(job.steps, self.enough if job.contender == "ViT" else 300)
            error = (0.1 if job.rate == RATE else 0.3) * 300 / steps
            done = replace(result(job.size, error, 1000), steps=job.steps)
            yield FinishedRun(job, done, timing(job.steps / 100), wrong_in(error))


def lengths(workers: IdleWorkers, tries: bool) -> dict[str, set[int | None]]:
    jobs = [job for job in workers.jobs if job.tries == tries]
    return {name: {job.steps for job in jobs if job.contender == name} for name in ("ViT", "CNN")}


def test_runs_are_doubled_until_that_no_longer_helps(tmp_path: Path) -> None:
    trained_out, workers = resolved_for(PLANNED, PLANNED.contenders, "trained-out"), Learners(enough=1200)
    study, recorder = scheduler(trained_out, tmp_path)
    study.run(workers)
    assert lengths(workers, tries=True) == {"ViT": {300, 600, 1200, 2400}, "CNN": {300, 600}}
    assert lengths(workers, tries=False) == {"ViT": {1200}, "CNN": {300}}
    assert not study.outcomes().limited.any()
    assert recorder.counts[-1] == (len(workers.jobs), len(workers.jobs))
    again = Learners(enough=1200)
    scheduler(trained_out, tmp_path)[0].run(again)
    assert again.jobs == []


def test_a_longer_run_that_fails_leaves_its_cell_limited(tmp_path: Path) -> None:
    class Fragile(Learners):
        def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
            for done in super().work(jobs):
                is_too_long = done.job.steps == 600 and (done.job.size, done.job.seed) == (120, TRIED[0])
                yield FinishedRun(done.job, fault="out of memory") if is_too_long else done

    workers = Fragile(enough=1200)
    study, _ = scheduler(resolved_for(PLANNED, PLANNED.contenders, "trained-out"), tmp_path)
    study.run(workers)
    assert {(job.contender, job.size, job.steps) for job in workers.jobs if not job.tries} == {
        *(("ViT", 120, 300), ("ViT", 60, 1200), ("CNN", 120, 300), ("CNN", 60, 300))
    }
    assert study.outcomes().limited.tolist() == [[False, True], [False, True]]


def test_runs_that_most_steps_end_are_limited(tmp_path: Path) -> None:
    plain = resolved_for(PLANNED, PLANNED.contenders, "trained-out").to_plain()
    plain["plan"]["most_steps"] = 700
    workers = Learners(enough=1200)
    study, _ = scheduler(ResolvedPlan.from_plain(plain), tmp_path)
    study.run(workers)
    assert lengths(workers, tries=False) == {"ViT": {600}, "CNN": {300}}
    assert study.outcomes().limited.tolist() == [[True, True], [False, False]]


def test_a_budget_ends_the_doubling_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    """24 trials and 12 reported runs of 3 s; twice as long, with two rates, 33 s more of each contender and size."""
    trained_out = resolved_for(PLANNED, PLANNED.contenders, "trained-out")
    seconds = 24 * 3 + 12 * 3 + 4 * (2 * 2 * 6 + 3 * 3)
    workers = Learners(enough=1200)
    study = Scheduler(trained_out, tmp_path, Recorder(), budget=seconds / 0.9 + 1)
    study.run(workers)
    assert lengths(workers, tries=True) == {"ViT": {300, 600}, "CNN": {300, 600}}
    assert study.outcomes().limited.tolist() == [[True, True], [False, False]]
    assert sum(job.steps or 0 for job in workers.jobs) / 100 <= seconds
    more = Learners(enough=1200)
    study = Scheduler(trained_out, tmp_path, Recorder(), budget=100 * seconds)
    study.run(more)
    assert lengths(more, tries=True) == {"ViT": {1200, 2400}, "CNN": set()}
    assert lengths(more, tries=False) == {"ViT": {1200}, "CNN": set()}
    assert not study.outcomes().limited.any()


def test_a_best_rate_at_the_edge_widens_the_grid(tmp_path: Path) -> None:
    class Fast(IdleWorkers):
        def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
            for done in super().work(jobs):
                assert done.result is not None
                error = 0.1 + 0.1 * abs(np.log2(done.job.rate / (16 * RATE)))
                yield replace(done, result=replace(done.result, val_error=float(error), val_loss=float(error)))

    poor = Fast()
    planned = resolved_for(PLANNED, PLANNED.contenders, "trained-out")
    Scheduler(planned, tmp_path / "poor", Recorder(), budget=1.0).run(poor)
    assert len([job for job in poor.jobs if job.tries]) == TRIALS

    workers = Fast()
    study, recorder = scheduler(resolved_for(PLANNED, PLANNED.contenders), tmp_path)
    study.run(workers)
    rates = sorted({job.rate / RATE for job in workers.jobs if job.tries})
    assert rates == pytest.approx([0.5, 1, 2, 4, 8, 16, 32])
    assert [job.rate for job in workers.jobs if not job.tries] == [pytest.approx(16 * RATE)] * REPORTED
    assert recorder.counts[-1] == (len(workers.jobs), len(workers.jobs))


def test_a_single_factor_is_not_tried(resolved: ResolvedPlan, tmp_path: Path) -> None:
    plain = resolved.to_plain()
    plain["plan"]["rate_factors"] = [2.0]
    given = ResolvedPlan.from_plain(plain)
    assert all_runs(given) == {(name, size): len(SEEDS) for name in ("ViT", "CNN") for size in SIZES}
    workers = IdleWorkers()
    study, _ = scheduler(given, tmp_path)
    study.run(workers)
    assert [job.rate for job in workers.jobs] == [pytest.approx(2 * RATE)] * REPORTED
