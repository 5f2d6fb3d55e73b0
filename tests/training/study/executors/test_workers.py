"""The crew: jobs are handed out, the dead are replaced, and a run that lost its worker is tried once more."""

import os
import signal
from collections import Counter
from multiprocessing import active_children
from pathlib import Path

import psutil
import pytest

from vitrail.data import Digits
from vitrail.errors import VitrailError
from vitrail.training.study.executors.pool import pool
from vitrail.training.study.executors.workers import Crew, Hand
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.parsing import read_words
from vitrail.training.study.resolved_plan import settle

JOBS = [Job("A", size, 0, 0.1) for size in range(8)]


class Pretender:
    """A worker that dies over some jobs, as often as told."""

    def __init__(self, deadly: Counter[Job]) -> None:
        self.deadly = deadly
        self.dismissed = False

    def take(self, job: Job) -> None:
        self.job = job

    def dismiss(self) -> None:
        self.dismissed = True

    def finished(self) -> Done | None:
        if self.deadly[self.job]:
            self.deadly[self.job] -= 1
            return None
        return Done(self.job)


def crew_of(size: int, deadly: dict[Job, int]) -> tuple[Crew, list[Pretender]]:
    hired: list[Pretender] = []
    deaths = Counter(deadly)

    def hire() -> Hand:
        hired.append(Pretender(deaths))
        return hired[-1]

    def ready(busy: list[Hand]) -> list[tuple[Hand, Done | None]]:
        return [(hand, hand.finished()) for hand in busy[:1] if isinstance(hand, Pretender)]

    return Crew(hire, ready, size), hired


def test_every_job_is_done_once_by_no_more_than_asked_for() -> None:
    crew, hired = crew_of(3, {})
    assert sorted(done.job.size for done in crew.work(JOBS)) == list(range(8))
    assert len(hired) == 3
    crew.dismiss()
    assert all(hand.dismissed for hand in hired)


def test_nobody_is_hired_where_there_is_nothing_to_do() -> None:
    crew, hired = crew_of(3, {})
    assert list(crew.work([])) == []
    assert hired == []


def test_workers_stay_from_one_batch_of_jobs_to_the_next() -> None:
    crew, hired = crew_of(2, {})
    assert len(list(crew.work(JOBS[:4]))) == len(list(crew.work(JOBS[4:]))) == 4
    assert len(hired) == 2


def test_a_run_that_lost_its_worker_is_tried_once_more() -> None:
    crew, hired = crew_of(2, {JOBS[3]: 1})
    done = list(crew.work(JOBS))
    assert sorted(one.job.size for one in done) == list(range(8))
    assert not [one for one in done if one.fault]
    assert len(hired) == 3
    assert sum(hand.dismissed for hand in hired) == 1


def test_a_run_that_kills_twice_fails_alone() -> None:
    crew, hired = crew_of(2, {JOBS[3]: 2})
    faults = {one.job: one.fault for one in crew.work(JOBS)}
    assert faults.pop(JOBS[3]) == "its worker died, and so did the next one"
    assert set(faults.values()) == {None}
    assert len(faults) == 7
    assert len(hired) == 4


def test_where_all_die_somebody_says_so() -> None:
    crew, _ = crew_of(2, dict.fromkeys(JOBS, 2))
    with pytest.raises(VitrailError, match="4 workers died one after the other"):
        list(crew.work(JOBS))


def test_a_killed_process_costs_only_its_run_and_none_is_left_behind(plan_file: Path) -> None:
    """Real processes: one is killed, its run comes back from another."""
    settled = settle(read_words([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job("CNN", size, seed, 0.005) for seed in range(3) for size in (30, 60)]
    seen: list[Done] = []
    processes: dict[int, psutil.Process] = {}
    with pool(settled, 2) as workers:
        for done in workers.work(jobs):
            if not seen:
                os.kill(next(child.pid for child in active_children() if child.pid), signal.SIGKILL)
            seen.append(done)
            processes |= {child.pid: psutil.Process(child.pid) for child in active_children() if child.pid}
    assert Counter(done.job for done in seen) == Counter(jobs)
    assert [done.fault for done in seen] == [None] * len(jobs)
    assert len(processes) >= 2
    psutil.wait_procs(list(processes.values()), timeout=30)
    assert not [one for one in processes.values() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
