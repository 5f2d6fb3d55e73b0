"""Images of many callers, computed together: a bounded line, and batches taken from its front."""

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Generic, TypeVar

from vitrail.errors import VitrailError
from vitrail.serving.http.middleware import BATCHES, STAGE

Item = TypeVar("Item")
Row = TypeVar("Row")

BUCKETS = (1, 2, 4, 8, 16, 32)
WINDOW = 0.002  # seconds that the first of the next batch waits for company
LONGEST_BATCH = 0.1  # seconds: whoever comes next waits for it
GAIN = 0.97  # of the time an image, at most, where a larger batch is to be worth its callers' longer wait


class QueueFull(VitrailError):
    """More would wait than may; or nobody may any more."""


class BatchFailed(VitrailError):
    """The model failed on a batch; its cause says how."""


def one(item: object) -> int:
    """The size of what is not divided further."""
    return 1


@dataclass(frozen=True)
class Entry(Generic[Item]):
    """Something to compute, for how many it counts, and since when it waits."""

    item: Item
    size: int
    since: float


@dataclass(frozen=True)
class Batch(Generic[Row]):
    """What is being computed, and for whom, in the same order."""

    futures: list[asyncio.Future[Row]]
    running: asyncio.Task[Sequence[Row]]

    def settle(self) -> None:
        """Give each caller its row, or what went wrong; who has left meanwhile gets nothing."""
        fault = self.running.exception()
        rows: Sequence[Row | None] = [None] * len(self.futures) if fault else self.running.result()
        for future, row in zip(self.futures, rows, strict=True):
            if future.done():
                continue
            if fault is None:
                future.set_result(row)  # type: ignore[arg-type]  # there is a row where there is no fault
            else:
                failed = BatchFailed(f"the model failed on a batch of {len(self.futures)}: {fault}")
                failed.__cause__ = fault
                future.set_exception(failed)


class Batcher(Generic[Item, Row]):
    """Asks `compute` for one batch at a time, and gives each row to the caller who waits for it.

    An idle lane takes what comes at once. While it works, others gather; when it is free again it takes all that
    wait, up to `largest`, once the first of them has waited for `window`. A caller who gives up (is
    cancelled: too late, or gone) leaves the line at that moment, so nothing is computed for nobody.
    An item may stand for several, as `size` tells, but for no more than `largest`.
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], Awaitable[Sequence[Row]]],
        capacity: int,
        window: float = WINDOW,
        largest: int = BUCKETS[-1],
        clock: Callable[[], float] = time.perf_counter,
        size: Callable[[Item], int] = one,
    ) -> None:
        self.compute = compute
        self.capacity = capacity
        self.window = window
        self.largest = largest
        self.clock = clock
        self.size = size
        self.waiting: OrderedDict[asyncio.Future[Row], Entry[Item]] = OrderedDict()
        self.length = 0  # of the line: the sizes of all that wait
        self.closed = False
        self.lane: asyncio.Task[None] | None = None
        self.enough = asyncio.Event()  # as many wait as a batch can hold

    async def submit(self, items: Sequence[Item]) -> list[Row]:
        """The rows of these items, in their order; refused at once where not all of them have room to wait."""
        if self.closed or self.length + sum(map(self.size, items)) > self.capacity:
            raise QueueFull("the line is closed" if self.closed else f"{self.length} are waiting already")
        futures = self.queue(items)
        try:
            return [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
        finally:  # where one of them failed, or the caller left, nobody waits for the others
            for future in futures:
                self.leave(future)

    def queue(self, items: Sequence[Item]) -> list[asyncio.Future[Row]]:
        loop, now = asyncio.get_running_loop(), self.clock()
        entries = {loop.create_future(): Entry(item, self.size(item), now) for item in items}
        self.waiting.update(entries)
        self.length += sum(entry.size for entry in entries.values())
        if self.length >= self.largest:
            self.enough.set()
        if self.lane is None:
            self.lane = loop.create_task(self.work())
        return list(entries)

    async def work(self) -> None:
        """Batch after batch, until nobody waits."""
        ended: Batch[Row] | None = None
        try:
            while self.waiting:
                batch = self.form()
                if ended:  # told only now: the lane is at work again while these callers write their answers
                    ended.settle()
                await asyncio.wait({batch.running})
                ended = batch
                if (rest := self.rest_of_window()) > 0:
                    ended.settle()
                    ended = None
                    await self.company(rest)
            if ended:
                ended.settle()
        finally:
            self.lane = None

    def form(self) -> Batch[Row]:
        """The longest waiting, up to `largest`, on their way to the lane."""
        now = self.clock()
        sizes = accumulate(entry.size for entry in self.waiting.values())
        futures = [future for future, size in zip(self.waiting, takewhile(self.holds, sizes), strict=False)]
        before = self.length
        entries = [self.waiting[future] for future in futures]
        for future, entry in zip(futures, entries, strict=True):
            self.leave(future)
            STAGE["queue"].observe(now - entry.since)
        BATCHES.observe(before - self.length)
        return Batch(futures, asyncio.create_task(self.rows([entry.item for entry in entries])))

    def holds(self, size: int) -> bool:
        """Whether a batch may be so large."""
        return size <= self.largest

    def leave(self, future: asyncio.Future[Row]) -> None:
        """Out of the line, where it still stands there."""
        if entry := self.waiting.pop(future, None):
            self.length -= entry.size

    async def rows(self, items: list[Item]) -> Sequence[Row]:
        rows = await self.compute(items)
        if len(rows) != len(items):
            raise BatchFailed(f"{len(items)} items were answered with {len(rows)} rows")
        return rows

    def rest_of_window(self) -> float:
        """Seconds for which the first in line should still wait for company: none if there is enough, or nobody."""
        if not self.waiting or self.length >= self.largest:
            return 0.0
        return next(iter(self.waiting.values())).since + self.window - self.clock()

    async def company(self, seconds: float) -> None:
        """Wait for as many as a batch can hold, but no longer than this."""
        self.enough.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.enough.wait()
        except TimeoutError:
            pass  # those who are there will do

    async def close(self) -> None:
        """Let nobody in any more, and answer those who are."""
        self.closed = True
        if self.lane is not None:
            await asyncio.wait({self.lane})


def bucket(count: int) -> int:
    """The size of batch to compute for so many: few different sizes, where each costs a plan and memory of its own."""
    return BUCKETS[bisect_left(BUCKETS, count)]


def largest_that_pays(seconds: Callable[[int], float]) -> int:
    """The bucket up to which each image is computed faster than in the one before, from the time a batch takes.

    What is gained is the price of a call, and on a GPU the cores that one image leaves idle. On a CPU a large
    network gains nothing and soon leaves the caches: there batches would cost throughput, and the callers' patience.
    """
    least, chosen, missed = seconds(1), 1, 0
    for size in BUCKETS[1:]:
        if least * size > LONGEST_BATCH:
            break
        each = seconds(size) / size
        if each <= GAIN * least:
            least, chosen, missed = each, size, 0
        elif missed:  # twice in a row: once may be other programs' doing
            break
        else:
            missed = 1
    return chosen
