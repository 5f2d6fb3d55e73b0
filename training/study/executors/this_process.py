"""This process runs one job after the other."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import time

from vitrail.training.study.executors import Workers
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.worker import Worker


@contextmanager
def here(settled: ResolvedPlan) -> Iterator[Workers]:
    yield Alone(Worker(settled, time()))


class Alone:
    """The only worker."""

    size = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def work(self, jobs: Iterable[Job]) -> Iterator[Done]:
        return map(self.worker.run, jobs)
