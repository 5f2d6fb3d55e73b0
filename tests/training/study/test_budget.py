"""A budget: what it leaves for longer trials once the reported runs are paid for."""

from dataclasses import replace

import pytest

from vitrail.training.study.budget import Budget, expected, seconds_a_step
from vitrail.training.study.jobs import FinishedRun, Job

from .report.folders import result, timing

A, B = Job("A", 30, 8, 0.1, tries=True, steps=100), Job("B", 30, 8, 0.1, tries=True, steps=100)


def done(job: Job, seconds: float) -> FinishedRun:
    return FinishedRun(job, replace(result(30, 0.1, 10), steps=100), timing(seconds))


DONE = [done(A, 10.0), done(B, 20.0)]
LONGER = [replace(job, steps=200) for job in (A, B)]
REPORTED = [replace(job, tries=False, seed=seed) for job in (A, B) for seed in (0, 1)]


def test_workers_share_the_time_and_wait_for_a_tenth_of_it() -> None:
    assert Budget.of(100, 2) == Budget(180)


def test_a_run_takes_the_steps_of_its_nearest_size() -> None:
    rates = seconds_a_step([*DONE, done(replace(A, size=1000), 50.0)])
    assert rates == {("A", 30): 0.1, ("B", 30): 0.2, ("A", 1000): 0.5}
    assert expected(replace(A, size=60, steps=300), rates) == pytest.approx(30)
    assert expected(replace(A, size=900, steps=300), rates) == pytest.approx(150)
    assert expected(replace(B, contender="C"), rates) == 0


@pytest.mark.parametrize(
    ("seconds", "bought"),
    [
        (30 + 60 + 39, []),  # trials and reported runs, and not quite those of A
        (30 + 60 + 40, ["A"]),  # 20 s for its trial, 2 × 10 s more for its reported runs
        (30 + 60 + 40 + 79, ["A"]),
        (30 + 60 + 40 + 80, ["A", "B"]),
        (10, []),
    ],
)
def test_longer_trials_leave_time_for_as_long_reported_runs(seconds: float, bought: list[str]) -> None:
    jobs = Budget(seconds).affordable(LONGER, DONE, REPORTED)
    assert [job.contender for job in jobs] == bought
