"""The worker pool: distributes jobs, replaces dead workers, and retries a run whose worker died once."""

import os
import signal
from collections import Counter
from multiprocessing import active_children
from pathlib import Path

import psutil
import pytest

from vitrail.data import Digits
from vitrail.errors import VitrailError
from vitrail.training.study.executors.pool import FORK, IMPORTED, WorkerProcess, pool
from vitrail.training.study.executors.workers import WorkerHandle, WorkerPool
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import resolve

JOBS = [Job("A", size, 0, 0.1) for size in range(8)]


class FakeWorker:
    """A worker that dies while running some jobs, a given number of times."""

    def __init__(self, deadly: Counter[Job]) -> None:
        self.deadly = deadly
        self.stopped = False

    def submit(self, job: Job) -> None:
        self.job = job

    def stop(self) -> None:
        self.stopped = True

    def finished(self) -> FinishedRun | None:
        if self.deadly[self.job]:
            self.deadly[self.job] -= 1
            return None
        return FinishedRun(self.job)


def pool_of(size: int, deadly: dict[Job, int]) -> tuple[WorkerPool, list[FakeWorker]]:
    started: list[FakeWorker] = []
    deaths = Counter(deadly)

    def start_worker() -> WorkerHandle:
        started.append(FakeWorker(deaths))
        return started[-1]

    def wait_for_workers(busy: list[WorkerHandle]) -> list[tuple[WorkerHandle, FinishedRun | None]]:
        return [(worker, worker.finished()) for worker in busy[:1] if isinstance(worker, FakeWorker)]

    return WorkerPool(start_worker, wait_for_workers, size), started


def test_every_job_runs_once_on_at_most_size_workers() -> None:
    workers, started = pool_of(3, {})
    assert sorted(done.job.size for done in workers.work(JOBS)) == list(range(8))
    assert len(started) == 3
    workers.stop()
    assert all(worker.stopped for worker in started)


def test_no_worker_starts_without_a_job() -> None:
    workers, started = pool_of(3, {})
    assert list(workers.work([])) == []
    assert started == []


def test_workers_are_reused_between_batches_of_jobs() -> None:
    workers, started = pool_of(2, {})
    assert len(list(workers.work(JOBS[:4]))) == len(list(workers.work(JOBS[4:]))) == 4
    assert len(started) == 2


def test_a_run_whose_worker_died_is_retried() -> None:
    workers, started = pool_of(2, {JOBS[3]: 1})
    done = list(workers.work(JOBS))
    assert sorted(one.job.size for one in done) == list(range(8))
    assert not [one for one in done if one.fault]
    assert len(started) == 3
    assert sum(worker.stopped for worker in started) == 1


def test_a_run_that_kills_two_workers_does_not_affect_others() -> None:
    workers, started = pool_of(2, {JOBS[3]: 2})
    faults = {one.job: one.fault for one in workers.work(JOBS)}
    assert faults.pop(JOBS[3]) == "its worker died, and so did the worker that retried it"
    assert set(faults.values()) == {None}
    assert len(faults) == 7
    assert len(started) == 4


def test_workers_that_all_die_raise_an_error() -> None:
    workers, _ = pool_of(2, dict.fromkeys(JOBS, 2))
    with pytest.raises(VitrailError, match="4 workers died one after another"):
        list(workers.work(JOBS))


def test_a_worker_ends_with_its_study(plan_file: Path) -> None:
    """A study that dies closes its end of the pipe."""
    FORK.set_forkserver_preload(IMPORTED)
    worker = WorkerProcess(resolve(parse_study([f"--config={plan_file}"]).plan, Digits()), None)
    worker.pipe.close()
    worker.process.join(60)
    assert worker.process.exitcode == 0


@pytest.mark.long
def test_a_killed_process_is_replaced_and_none_is_left_behind(plan_file: Path) -> None:
    """Real processes: one is killed, another repeats its run."""
    resolved = resolve(parse_study([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job("CNN", size, seed, 0.005) for seed in range(2) for size in (30, 60)]
    seen: list[FinishedRun] = []
    processes: dict[int, psutil.Process] = {}
    with pool(resolved, 2) as workers:
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
