"""Work in threads, where callers take turns: within a number of threads, and of bytes that all of it may hold."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

PASSES = 16  # jobs that may start before one that was due, and had no room


@dataclass(eq=False)
class Job:
    """What to do in a thread, how many bytes it holds meanwhile, and who waits for the result."""

    work: Callable[[], Any]
    size: int
    result: asyncio.Future[Any]


@dataclass(eq=False)
class Caller:
    """The jobs of one request that have not begun, in their order."""

    jobs: deque[Job]
    passes: int = 0  # how many jobs started while this caller was due and its next job had no room


class Turns:
    """Starts one job of each caller after the other, as threads and bytes become free.

    A job that finds no room lets others pass, or its caller would hold up everybody; but only so many, or small jobs
    could keep a large one waiting for ever. Then nothing starts until what runs has ended and there is room. No job
    holds anything while it waits, so no two can wait for each other.
    """

    def __init__(self, threads: int, budget: int) -> None:
        self.threads = threads
        self.budget = budget
        self.reserved = 0
        self.running = 0
        self.callers: deque[Caller] = deque()
        self.pool = ThreadPoolExecutor(threads, "decode")

    async def run(self, work: Callable[[], T], size: int = 0) -> T:
        return (await self.run_all([(work, size)]))[0]

    async def run_all(self, jobs: Sequence[tuple[Callable[[], T], int]]) -> list[T]:
        """The results of one caller's jobs, in order. Cancelled, the caller leaves with all that has not begun."""
        if not jobs:
            return []
        loop = asyncio.get_running_loop()
        queue = [Job(work, size, loop.create_future()) for work, size in jobs]
        caller = Caller(deque(queue))
        self.callers.append(caller)
        self.start_jobs()
        try:
            results: list[T] = await asyncio.gather(*(job.result for job in queue))
            return results
        finally:
            if caller.jobs:
                caller.jobs.clear()
                self.callers.remove(caller)
                self.start_jobs()  # it may have been the one that others had to wait for

    def start_jobs(self) -> None:
        while self.running < self.threads and (caller := self.next_caller()) is not None:
            self.callers.remove(caller)
            job = caller.jobs.popleft()
            caller.passes = 0
            if caller.jobs:
                self.callers.append(caller)
            self.start(job)

    def next_caller(self) -> Caller | None:
        """Whose turn it is, among those whose next job has room; none while somebody was passed too often."""
        passed: list[Caller] = []
        for caller in self.callers:
            if self.reserved + caller.jobs[0].size <= self.budget:
                for other in passed:
                    other.passes += 1
                return caller
            if caller.passes >= PASSES:
                return None
            passed.append(caller)
        return None

    def start(self, job: Job) -> None:
        loop = job.result.get_loop()
        self.running += 1
        self.reserved += job.size

        def end(done: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.end, job, done)

        self.pool.submit(job.work).add_done_callback(end)

    def end(self, job: Job, done: Future[Any]) -> None:
        """Bytes and thread are free only now, though the caller may have left long before."""
        self.running -= 1
        self.reserved -= job.size
        if not job.result.done():
            if (fault := done.exception()) is not None:
                job.result.set_exception(fault)
            else:
                job.result.set_result(done.result())
        self.start_jobs()

    def shutdown(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
