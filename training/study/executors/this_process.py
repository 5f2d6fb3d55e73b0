"""Runs jobs one after another in this process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import time

from vitrail.training.study.executors import Workers
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.worker import Worker


@contextmanager
def this_process(resolved: ResolvedPlan) -> Iterator[Workers]:
    yield SingleWorker(Worker(resolved, time()))


class SingleWorker:
    size = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
        return map(self.worker.run, jobs)
