"""A pool of processes of this machine, which import and decode once and stay alive."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from time import time

from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.workers import Crew, Hand
from vitrail.training.study.gpus import VARIABLE
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.resolved_plan import ResolvedPlan

PATIENCE = 10  # seconds for a worker to end by itself


@contextmanager
def pool(settled: ResolvedPlan, workers: int, gpus: Sequence[str] = ()) -> Iterator[Workers]:
    """`workers` runs at a time, each on one of the named GPUs."""
    hired: list[Process] = []

    def hire() -> Hand:
        hired.append(Process(settled, least_used(gpus, [one.gpu for one in hired if one.process.is_alive()])))
        return hired[-1]

    crew = Crew(hire, ready, workers)
    try:
        yield crew
    finally:
        crew.dismiss()


def least_used(gpus: Sequence[str], used: Sequence[str | None]) -> str | None:
    """The GPU with the fewest workers, so that who replaces a dead worker takes its place; None without GPUs."""
    return min(gpus, key=used.count, default=None)


class Process:
    """A worker process, and our end of the pipe to it."""

    def __init__(self, settled: ResolvedPlan, gpu: str | None) -> None:
        self.gpu = gpu
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=live, args=(theirs, settled, gpu, time()), daemon=True)
        self.process.start()
        theirs.close()

    def take(self, job: Job) -> None:
        with suppress(BrokenPipeError):  # it is dead: whoever waits for it will notice
            self.pipe.send(job)

    def finished(self) -> Done | None:
        try:
            done: Done = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        return done

    def dismiss(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()


def ready(busy: list[Hand]) -> list[tuple[Hand, Done | None]]:
    """A process that dies closes its end of the pipe, which wakes us too."""
    by_pipe = {hand.pipe: hand for hand in busy if isinstance(hand, Process)}
    woken = [by_pipe[pipe] for pipe in wait(by_pipe) if isinstance(pipe, Connection)]
    return [(hand, hand.finished()) for hand in woken]


def live(pipe: Connection, settled: ResolvedPlan, gpu: str | None, began: float) -> None:
    """What a worker process does until nobody is at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of us; the study ends its workers itself
    if gpu is not None:
        os.environ[VARIABLE] = gpu  # before CUDA is first used here
    from vitrail.training.study.worker import Worker

    worker = Worker(settled, began)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(worker.run(pipe.recv()))
