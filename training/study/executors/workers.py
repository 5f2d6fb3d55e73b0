"""A pool of long-lived workers: distributes jobs, replaces dead workers, and retries a run whose worker died once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from vitrail.errors import VitrailError
from vitrail.training.study.jobs import FinishedRun, Job

MAX_DEATHS = 4  # in a row, without a finished run in between


class WorkerHandle(Protocol):
    """A worker, in whatever process or on whatever machine it runs."""

    def submit(self, job: Job) -> None:
        """Start a job; returns at once."""
        ...

    def stop(self) -> None:
        """End the worker, alive or dead."""
        ...


StartWorker = Callable[[], WorkerHandle]
# Blocks until a busy worker has finished its run or died; None stands for a dead worker.
WaitForWorkers = Callable[[list[WorkerHandle]], list[tuple[WorkerHandle, FinishedRun | None]]]


class WorkerPool:
    """`size` workers, each started when there is a job for it."""

    def __init__(self, start_worker: StartWorker, wait_for_workers: WaitForWorkers, size: int) -> None:
        self.start_worker, self.wait_for_workers, self.size = start_worker, wait_for_workers, size
        self.idle: list[WorkerHandle] = []
        self.busy: dict[WorkerHandle, Job] = {}

    def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]:
        queue, retried, deaths = deque(jobs), set[Job](), 0
        while queue or self.busy:
            while queue and len(self.busy) < self.size:
                self.submit(queue.popleft())
            for worker, done in self.wait_for_workers(list(self.busy)):
                job = self.busy.pop(worker)
                if done is not None:
                    deaths = 0
                    self.idle.append(worker)
                    yield done
                    continue
                deaths += 1
                worker.stop()
                if deaths >= MAX_DEATHS:
                    raise VitrailError(
                        f"{deaths} workers died one after another, the last one running {job}: "
                        "is there enough memory for this many at a time? see --workers"
                    )
                if job in retried:
                    yield FinishedRun(job, fault="its worker died, and so did the worker that retried it")
                else:
                    retried.add(job)
                    queue.appendleft(job)

    def submit(self, job: Job) -> None:
        worker = self.idle.pop() if self.idle else self.start_worker()
        self.busy[worker] = job
        worker.submit(job)

    def stop(self) -> None:
        for worker in [*self.idle, *self.busy]:
            worker.stop()
        self.idle.clear()
        self.busy.clear()
