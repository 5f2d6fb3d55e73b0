"""This process runs one job after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import time

from vitrail.training.study.executors import Work
from vitrail.training.study.settled import Settled
from vitrail.training.study.worker import Worker


@contextmanager
def here(settled: Settled) -> Iterator[Work]:
    worker = Worker(settled, time())
    yield lambda jobs: map(worker.run, jobs)
