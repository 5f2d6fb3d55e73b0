"""A worker: opens the images once, then runs one job after another; a failed run does not affect the others."""

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time

import torch

from vitrail.data import open_source
from vitrail.errors import DataError, VitrailError, first_line
from vitrail.training.process import prepare_process
from vitrail.training.study.gpus import joules_now
from vitrail.training.study.image_cache import CachedSource
from vitrail.training.study.jobs import FinishedRun, Job, Timing
from vitrail.training.study.plan import Plan
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.train import train
from vitrail.training.study.weights import refuse_other_weights

# Errors caused by a configuration, its images or the machine. Anything else is a bug.
FAULTS = (VitrailError, RuntimeError, ValueError, TypeError, ArithmeticError, OSError, MemoryError)


@contextmanager
def threads_of(plan: Plan) -> Iterator[None]:
    """Torch threads as planned, reset on exit."""
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Worker:
    """Runs jobs in one process. `requested` is when the process was requested, for its start-up time."""

    def __init__(self, resolved: ResolvedPlan, requested: float | None = None) -> None:
        self.resolved, self.requested = resolved, requested
        self.source: CachedSource | None = None

    def run(self, job: Job) -> FinishedRun:
        prepare_process()
        with threads_of(self.resolved.plan):
            try:
                return self.train(job)
            except FAULTS as fault:
                return FinishedRun(job, fault=first_line(fault))
            finally:
                collect_garbage()

    def train(self, job: Job) -> FinishedRun:
        source = self.open_images()
        refuse_other_weights(self.resolved.contender(job.contender))
        startup, begin, energy = self.startup(), perf_counter(), joules_now()
        trained = train(self.resolved, job, source)
        used = joules_now()
        timing = Timing(
            seconds=perf_counter() - begin,
            training_seconds=trained.training_seconds,
            images_per_second=trained.images_seen / trained.training_seconds,
            startup=startup,
            joules=used - energy if used is not None and energy is not None else None,
            worker=f"{socket.gethostname()}-{os.getpid()}",
        )
        return FinishedRun(job, trained.result, timing, trained.wrong, trained.files)

    def open_images(self) -> CachedSource:
        """The images, which must match the plan's fingerprint on every machine."""
        if self.source is None:
            data = self.resolved.plan.data
            source = open_source(data["path"], data["seed"])
            if source.fingerprint != self.resolved.fingerprint:
                raise DataError(f"the images at {data['path']} on {socket.gethostname()} are not those of the plan")
            self.source = CachedSource(source)
        return self.source

    def startup(self) -> float:
        """Seconds since the process was requested, on the first call; then 0."""
        requested, self.requested = self.requested, None
        return 0.0 if requested is None else time() - requested


def collect_garbage() -> None:
    """Free trainer, network and images of a run, which hold each other in reference cycles.

    What survives is frozen, so that the next collection is fast.
    """
    gc.collect()
    gc.freeze()
