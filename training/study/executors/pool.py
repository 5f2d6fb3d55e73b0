"""A pool of processes on this machine, forked from one that has imported torch; each decodes once and stays alive."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from time import time

from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.workers import WorkerHandle, WorkerPool
from vitrail.training.study.gpus import VARIABLE
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.resolved_plan import ResolvedPlan

# A process without threads or CUDA, which imports once for all workers: torch and Lightning take seconds.
FORK = multiprocessing.get_context("forkserver")
IMPORTED = ["vitrail.training.study.worker"]
STOP_TIMEOUT = 10  # seconds before a terminated worker is killed


@contextmanager
def pool(resolved: ResolvedPlan, workers: int, gpus: Sequence[str] = ()) -> Iterator[Workers]:
    """`workers` runs at a time, each on one of the named GPUs."""
    FORK.set_forkserver_preload(IMPORTED)
    started: list[WorkerProcess] = []

    def start_worker() -> WorkerHandle:
        used = [one.gpu for one in started if one.process.is_alive()]
        started.append(WorkerProcess(resolved, least_used(gpus, used)))
        return started[-1]

    worker_pool = WorkerPool(start_worker, wait_for_workers, workers)
    try:
        yield worker_pool
    finally:
        worker_pool.stop()


def least_used(gpus: Sequence[str], used: Sequence[str | None]) -> str | None:
    """The GPU with the fewest workers, so that a replacement gets the GPU of the dead worker; None without GPUs."""
    return min(gpus, key=used.count, default=None)


class WorkerProcess:
    """A worker process and this end of its pipe."""

    def __init__(self, resolved: ResolvedPlan, gpu: str | None) -> None:
        self.gpu = gpu
        self.pipe, theirs = FORK.Pipe()
        self.process = FORK.Process(target=worker_main, args=(theirs, resolved, gpu, time()), daemon=True)
        self.process.start()
        theirs.close()

    def submit(self, job: Job) -> None:
        with suppress(BrokenPipeError):  # dead: noticed by wait_for_workers
            self.pipe.send(job)

    def finished(self) -> FinishedRun | None:
        try:
            done: FinishedRun = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        return done

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(STOP_TIMEOUT)
        if self.process.is_alive():
            self.process.kill()


def wait_for_workers(busy: list[WorkerHandle]) -> list[tuple[WorkerHandle, FinishedRun | None]]:
    """A process that dies closes its end of the pipe, which ends the wait too."""
    by_pipe = {worker.pipe: worker for worker in busy if isinstance(worker, WorkerProcess)}
    ready = [by_pipe[pipe] for pipe in wait(by_pipe) if isinstance(pipe, Connection)]
    return [(worker, worker.finished()) for worker in ready]


def worker_main(pipe: Connection, resolved: ResolvedPlan, gpu: str | None, requested: float) -> None:
    """Run jobs from the pipe until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the study stops its workers itself
    if gpu is not None:
        os.environ[VARIABLE] = gpu  # before CUDA is first used here
    from vitrail.training.study.worker import Worker

    worker = Worker(resolved, requested)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(worker.run(pipe.recv()))
