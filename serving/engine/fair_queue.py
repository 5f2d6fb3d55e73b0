"""Work in which callers take turns: in threads, within bytes that all of it may hold, or on the event loop itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")

PASSES = 16  # jobs that may start before one that was due, and had no room
SLICE = 0.001  # seconds of work in one turn of the event loop, before all others have theirs


@dataclass(frozen=True, eq=False)
class Job:
    """What to do in a thread, how many bytes it holds meanwhile, and whether it takes long."""

    work: Callable[[], Any]
    size: int = 0
    costly: bool = False


@dataclass(eq=False)
class Caller:
    """The jobs of one request that have not begun, in their order, each with its result to be."""

    jobs: deque[tuple[Job, asyncio.Future[Any]]]
    passes: int = 0  # how many jobs started while this caller was due and its next job had no room


class FairQueue:
    """Starts one job of each caller after the other, as threads and bytes become free.

    Costly jobs have threads of their own, so that others never wait for one to end.

    A job that finds no room lets others pass, or its caller would hold up everybody; but only so many, or small jobs
    could keep a large one waiting for ever. Then nothing starts until what runs has ended and there is room; where
    costly jobs are in the way, which may take long, nothing costly. No job holds anything while it waits, so no two can
    wait for each other.
    """

    def __init__(self, name: str, threads: int, budget: int = 0, *, costly_threads: int = 1) -> None:
        self.threads = {False: threads, True: costly_threads}
        self.budget = budget
        self.running: list[Job] = []
        self.callers: deque[Caller] = deque()
        self.pools = {
            False: ThreadPoolExecutor(threads, name),
            True: ThreadPoolExecutor(costly_threads, f"{name}-costly"),
        }

    @property
    def reserved(self) -> int:
        """Bytes, by all that runs."""
        return sum(job.size for job in self.running)

    async def run(self, work: Callable[[], T]) -> T:
        result: T = (await self.run_all([Job(work)]))[0]
        return result

    async def run_all(self, jobs: Sequence[Job]) -> list[Any]:
        """The results of one caller's jobs, in order. Cancelled, the caller leaves with all that has not begun."""
        if not jobs:
            return []
        loop = asyncio.get_running_loop()
        results = [loop.create_future() for _ in jobs]
        caller = Caller(deque(zip(jobs, results, strict=True)))
        self.callers.append(caller)
        self.start_jobs()
        try:
            return await asyncio.gather(*results)
        finally:
            if caller.jobs:
                caller.jobs.clear()
                self.callers.remove(caller)
                self.start_jobs()  # it may have been the one that others had to wait for

    def start_jobs(self) -> None:
        while (caller := self.next_caller()) is not None:
            self.callers.remove(caller)
            job, result = caller.jobs.popleft()
            caller.passes = 0
            if caller.jobs:
                self.callers.append(caller)
            self.start(job, result)

    def next_caller(self) -> Caller | None:
        """Whose turn it is, among those whose next job has a thread and room; none where one was passed too often."""
        room = self.budget - self.reserved
        room_beside_costly = self.budget - sum(job.size for job in self.running if job.costly)
        free = {
            costly: most - sum(job.costly is costly for job in self.running) for costly, most in self.threads.items()
        }
        passed: list[Caller] = []
        for caller in self.callers:
            job, _ = caller.jobs[0]
            if not free[job.costly]:
                continue
            if job.size <= room:
                for other in passed:
                    other.passes += 1
                return caller
            passed.append(caller)
            if caller.passes >= PASSES:
                if job.size <= room_beside_costly:
                    return None
                free[True] = 0  # costly ones are in its way: no more of them
        return None

    def start(self, job: Job, result: asyncio.Future[Any]) -> None:
        loop = result.get_loop()
        self.running.append(job)

        def end(done: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.end, job, result, done)

        self.pools[job.costly].submit(job.work).add_done_callback(end)

    def end(self, job: Job, result: asyncio.Future[Any], done: Future[Any]) -> None:
        """Bytes and thread are free only now, though the caller may have left long before."""
        self.running.remove(job)
        if not result.done():
            if (fault := done.exception()) is not None:
                result.set_exception(fault)
            else:
                result.set_result(done.result())
        self.start_jobs()

    def shutdown(self) -> None:
        for pool in self.pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


class Slices:
    """Work of less than a millisecond each, done on the event loop: callers in turn, with room for others in between.

    To hand it to a thread would cost as much; done at once, a few callers with many pieces would make each turn of the
    loop so long that everybody else waits, several times for one answer.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.spent = 0.0  # seconds since all others had a turn

    async def run(self, work: Callable[[], T]) -> T:
        async with self.lock:
            start = perf_counter()
            try:
                return work()
            finally:
                self.spent += perf_counter() - start
                if self.spent > SLICE:
                    self.spent = 0.0
                    await asyncio.sleep(0)
