"""A worker: opens the images once, then runs one job after the other; what fails costs only its own run."""

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time

import torch

from vitrail.data import open_source
from vitrail.errors import DataError, VitrailError
from vitrail.training.cli import silence_lightning
from vitrail.training.study.energy import joules_now
from vitrail.training.study.image_cache import Kept
from vitrail.training.study.jobs import Done, Job, Timing
from vitrail.training.study.plan import Plan
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.train import train

# What a run may fail with, by its configuration, its images or its machine. Anything else is a defect of ours.
FAULTS = (VitrailError, RuntimeError, ValueError, TypeError, ArithmeticError, OSError, MemoryError)


@contextmanager
def threads_of(plan: Plan) -> Iterator[None]:
    """As many as the plan says, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Worker:
    """One process's part of a study."""

    def __init__(self, settled: ResolvedPlan, began: float | None = None) -> None:
        self.settled, self.began = settled, began
        self.source: Kept | None = None

    def run(self, job: Job) -> Done:
        silence_lightning()
        with threads_of(self.settled.plan):
            try:
                return self.attempt(job)
            except FAULTS as fault:
                lines = str(fault).strip().splitlines() or [type(fault).__name__]
                return Done(job, fault=lines[0])
            finally:
                sweep()

    def attempt(self, job: Job) -> Done:
        source = self.opened()
        startup, begin, energy = self.startup(), perf_counter(), joules_now()
        trained = train(self.settled, job, source)
        used = joules_now()
        timing = Timing(
            seconds=perf_counter() - begin,
            training_seconds=trained.training_seconds,
            images_per_second=trained.images_seen / trained.training_seconds,
            startup=startup,
            joules=used - energy if used is not None and energy is not None else None,
            worker=f"{socket.gethostname()}-{os.getpid()}",
        )
        return Done(job, trained.result, timing, trained.files)

    def opened(self) -> Kept:
        """The images, which must be those of the plan on every machine that takes part."""
        if self.source is None:
            data = self.settled.plan.data
            source = open_source(data["path"], data["seed"])
            if source.fingerprint != self.settled.fingerprint:
                raise DataError(f"the images at {data['path']} on {socket.gethostname()} are not those of the plan")
            self.source = Kept(source)
        return self.source

    def startup(self) -> float:
        """Seconds since the process was asked for; told once."""
        began, self.began = self.began, None
        return 0.0 if began is None else time() - began


def sweep() -> None:
    """Free what a run leaves behind: trainer, network and images hold each other, and Python would be slow to notice.

    What is still in use is then put aside, so that the next sweep takes no time.
    """
    gc.collect()
    gc.freeze()
