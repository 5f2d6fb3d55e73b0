"""Work in which callers and requests take turns: in threads, within a budget of memory, or on the event loop itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from vitrail.serving.engine.core_shares import CoreShares
from vitrail.serving.engine.turns import Turns
from vitrail.serving.http.caller import CALLER
from vitrail.serving.siblings import Alone, Siblings

T = TypeVar("T")

MAX_SKIPS = 16  # jobs that may overtake one that is next and has no room
RETRY = 0.005  # seconds until a job that waits for those of other processes is tried again, if any of them ended
FULL_TRY = 8  # times until it is, whatever they did
SLICE = 0.001  # seconds of work before control returns to the event loop


@dataclass(frozen=True, eq=False)
class Job:
    """A function to run in a thread, the bytes it holds meanwhile, and whether it takes long."""

    work: Callable[[], Any]
    size: int = 0
    costly: bool = False


@dataclass(eq=False)
class PendingRequest:
    """The jobs of one request that have not started, in order, each with its future."""

    caller: str
    jobs: deque[tuple[Job, asyncio.Future[Any]]]
    skips: int = 0  # jobs that have overtaken its next one


class FairQueue:
    """Starts jobs as threads and bytes become free: those of the caller that used them least, its requests in turn.

    Costly jobs have separate threads, so that others never wait for one to end.

    A job that finds no room may be overtaken, or it would block all other requests; but only MAX_SKIPS times, or small
    jobs could starve a large one. After that nothing starts until there is room for it; if costly jobs, which may take
    long, hold that room, only costly jobs are kept from starting. A waiting job holds nothing: there are no deadlocks.

    The budget is that of all processes of the server. A job that has no room beside theirs is tried again in a moment,
    and claims the room meanwhile: the oldest claim is served first. A claim of what costly jobs hold keeps only costly
    jobs of the others from starting.

    Where several processes decode, callers have shares of the cores, and a caller with less than its own has a spare
    thread where all are busy.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        budget: int = 0,
        *,
        costly_threads: int = 1,
        cores: int | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        """The threads are of this process, the budget that of all; and so are the cores, where several have them."""
        self.threads = {False: threads, True: costly_threads}
        self.budget = budget
        self.siblings = siblings or Alone()
        self.shares = CoreShares(cores, self.siblings)
        self.retry: asyncio.TimerHandle | None = None
        self.running: list[Job] = []
        self.changes = self.changes_elsewhere = self.tries = 0  # jobs that started or ended, here and elsewhere
        self.missing = 0  # bytes of the first job that has no room
        self.requests: deque[PendingRequest] = deque()
        self.turns = Turns()
        self.pools = {
            False: ThreadPoolExecutor(threads + (cores is not None), name),
            True: ThreadPoolExecutor(costly_threads, f"{name}-costly"),
        }

    @property
    def reserved(self) -> int:
        """Bytes held by the running jobs."""
        return sum(job.size for job in self.running)

    @property
    def costly(self) -> int:
        """Bytes held by the costly ones of them."""
        return sum(job.size for job in self.running if job.costly)

    async def run(self, work: Callable[[], T]) -> T:
        result: T = (await self.run_all([Job(work)]))[0]
        return result

    async def run_all(self, jobs: Sequence[Job]) -> list[Any]:
        """The results of one request's jobs, in order. If cancelled, its jobs that have not started are dropped."""
        if not jobs:
            return []
        loop, caller = asyncio.get_running_loop(), CALLER.get()
        results = [loop.create_future() for _ in jobs]
        request = PendingRequest(caller, deque(zip(jobs, results, strict=True)))
        self.requests.append(request)
        self.turns.join(caller)
        self.start_jobs()
        try:
            return await asyncio.gather(*results)
        finally:
            self.turns.leave(caller)
            if caller not in self.turns.had:
                self.shares.forget(caller)
            if request.jobs:
                request.jobs.clear()
                self.requests.remove(request)
                self.start_jobs()  # others may have been waiting for this one

    def start_jobs(self) -> None:
        with self.siblings.lock():
            while (request := self.next_request()) is not None:
                self.requests.remove(request)
                job, result = request.jobs.popleft()
                request.skips = 0
                if request.jobs:
                    self.requests.append(request)
                self.start(job, result, request.caller)
            self.siblings.publish("reserved", self.reserved)
            self.siblings.publish("costly", self.costly)
            self.siblings.claim(self.missing)
            self.shares.publish()
            self.siblings.publish("changes", self.changes)
            self.changes_elsewhere = self.siblings.others("changes")
            if self.waits_for_others():
                self.try_later()

    def waits_for_others(self) -> bool:
        is_full_elsewhere = self.siblings.others("reserved") + self.siblings.claimed(self.budget) > 0
        return bool(self.shares.held or (self.missing and is_full_elsewhere))

    def try_again(self) -> None:
        """Start jobs, if others have started or ended some; and now and then, as callers come and go."""
        self.retry = None
        self.tries += 1
        if self.siblings.others("changes") != self.changes_elsewhere or not self.tries % FULL_TRY:
            self.start_jobs()
        else:
            self.try_later()

    def try_later(self) -> None:
        if self.retry is None:
            self.retry = asyncio.get_running_loop().call_later(RETRY, self.try_again)

    def next_request(self) -> PendingRequest | None:
        """The first request whose next job has a thread and room; None where one has been skipped too often."""
        self.missing = 0
        beside_costly = self.budget - self.costly - self.siblings.others("costly")
        claimed = {False: self.siblings.claimed(beside_costly), True: self.siblings.claimed(self.budget)}
        room = self.budget - self.reserved - self.siblings.others("reserved")
        free = {
            costly: most - sum(job.costly is costly for job in self.running) for costly, most in self.threads.items()
        }
        self.shares.look(self.turns.waiting)
        skipped: list[PendingRequest] = []
        for request in self.order():
            job, _ = request.jobs[0]
            spare = 0 if job.costly or self.shares.alone else 1
            if free[job.costly] + spare <= 0:
                continue
            if job.size <= room - claimed[job.costly]:
                if not job.costly and self.shares.hold(request.caller, has_thread=free[False] > 0):
                    continue
                for other in skipped:
                    other.skips += 1
                return request
            skipped.append(request)
            self.missing = self.missing or job.size
            if request.skips >= MAX_SKIPS:
                if job.size <= beside_costly - claimed[job.costly]:
                    return None
                free[True] = 0  # costly jobs hold the room: start no more of them
        return None

    def order(self) -> Iterable[PendingRequest]:
        if len(self.turns.had) == 1:
            return self.requests
        had, behind = self.turns.had, self.shares.behind
        return sorted(self.requests, key=lambda request: (request.caller not in behind, had[request.caller]))

    def start(self, job: Job, result: asyncio.Future[Any], caller: str) -> None:
        loop, begin = result.get_loop(), perf_counter()
        self.running.append(job)
        self.changes += 1
        if not job.costly:
            self.shares.start(caller)

        def end(done: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.end, job, result, done, caller, perf_counter() - begin)

        self.pools[job.costly].submit(job.work).add_done_callback(end)

    def end(self, job: Job, result: asyncio.Future[Any], done: Future[Any], caller: str, seconds: float) -> None:
        """Bytes and thread are free only now, even if the request was cancelled long before."""
        self.running.remove(job)
        self.changes += 1
        if not job.costly:
            self.shares.end(caller)
        self.turns.charge(caller, seconds)
        if not result.done():
            if (error := done.exception()) is not None:
                result.set_exception(error)
            else:
                result.set_result(done.result())
        self.start_jobs()

    def shutdown(self) -> None:
        if self.retry is not None:
            self.retry.cancel()
        for pool in self.pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


class TimeSlices:
    """Runs pieces of work of less than a millisecond on the event loop, and yields to it after each SLICE.

    A thread would cost as much as the work; without yielding, a request with many pieces would block all others.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.spent = 0.0  # seconds since the last yield

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
