"""Dynamic batching: a bounded queue of items from many requests, computed in batches."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, takewhile
from typing import Any, Generic, TypeVar

from opentelemetry.trace import Span

from vitrail.errors import VitrailError
from vitrail.runtime.bound import BUCKETS
from vitrail.serving import tracing
from vitrail.serving.engine.turns import Turns, has_room
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.middleware import BATCHES, STAGE

Item = TypeVar("Item")
Row = TypeVar("Row")

WINDOW = 0.002  # seconds that the first item of a batch waits for others
MAX_BATCH_SECONDS = 0.1  # a longer batch would delay the next requests too much
GAIN = 0.97  # a larger batch must take at most this share of the time per image, to be worth the longer wait


class QueueFull(VitrailError):
    """The queue has no room, or is closed."""


class BatchFailed(VitrailError):
    """The model failed on a batch; the cause has the details."""


def unit_size(item: object) -> int:
    return 1


@dataclass(frozen=True)
class Entry(Generic[Item]):
    """An item that waits, its size, whose it is, since when, and the span of its request where one is recorded."""

    item: Item
    size: int
    caller: str
    since: float
    span: Span | None


@dataclass(frozen=True)
class Batch(Generic[Row]):
    """A batch that is being computed, and the futures of its rows, in order."""

    futures: list[asyncio.Future[Row]]
    running: asyncio.Task[Sequence[Row | BatchFailed]]

    def deliver(self) -> None:
        """Set each future's row, or the error; cancelled futures are skipped."""
        for future, row in zip(self.futures, self.rows(), strict=True):
            if future.done():
                continue
            if isinstance(row, BatchFailed):
                future.set_exception(row)
            else:
                future.set_result(row)

    def rows(self) -> Sequence[Row | BatchFailed]:
        if (error := self.running.exception()) is None:
            return self.running.result()
        return [failure(error, len(self.futures)) for _ in self.futures]


def failure(error: BaseException, images: int) -> BatchFailed:
    """What the requests get whose images were in a batch that failed."""
    failed = BatchFailed(f"the model failed on a batch of {images}: {error}")
    failed.__cause__ = error
    return failed


class Batcher(Generic[Item, Row]):
    """Calls `compute` with a batch, and returns each row to the request that waits for it.

    An idle batcher computes an item at once. While a batch runs, items gather; the next batch takes all that wait,
    up to `max_size`, once the first of them has waited for `window`. Of several `at_once`, those after the first start
    only if they are full: smaller ones would cost throughput. Where more wait, callers take turns. A cancelled
    request leaves the queue at once, so nothing is computed for it. `size` gives the number of images in an item, at
    most `max_size`. For an item that alone fails, `compute` returns the error in place of its row.
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], Awaitable[Sequence[Row | BatchFailed]]],
        capacity: int,
        window: float = WINDOW,
        max_size: int = BUCKETS[-1],
        clock: Callable[[], float] = time.perf_counter,
        size: Callable[[Item], int] = unit_size,
        on_change: Callable[[str], None] = lambda caller: None,
    ) -> None:
        """`on_change` is called with each caller of whom more or fewer images wait."""
        self.compute = compute
        self.capacity = capacity
        self.window = window
        self.max_size = max_size
        self.clock = clock
        self.size = size
        self.on_change = on_change
        self.waiting: OrderedDict[asyncio.Future[Row], Entry[Item]] = OrderedDict()
        self.waiting_size = 0  # sum of the sizes of all waiting items
        self.turns = Turns()
        self.closed = False
        self.at_once = 1
        self.worker: asyncio.Task[None] | None = None
        self.batch_is_full = asyncio.Event()

    async def submit(self, items: Sequence[Item]) -> list[Row]:
        """The rows of these items, in order; raises QueueFull at once where not all of them have room."""
        images = sum(map(self.size, items))
        if self.closed or not has_room(self.turns.waiting, CALLER.get(), images, self.capacity):
            raise QueueFull("the queue is closed" if self.closed else f"{self.waiting_size} images are waiting already")
        futures = self.enqueue(items)
        try:
            return [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
        finally:  # where one failed, or the request was cancelled, the others are not needed
            for future in futures:
                self.remove(future)

    def enqueue(self, items: Sequence[Item]) -> list[asyncio.Future[Row]]:
        loop, now, caller = asyncio.get_running_loop(), self.clock(), CALLER.get()
        span = tracing.current()
        entries = {loop.create_future(): Entry(item, self.size(item), caller, now, span) for item in items}
        size = sum(entry.size for entry in entries.values())
        self.waiting.update(entries)
        self.waiting_size += size
        self.turns.join(caller, size)
        self.on_change(caller)
        if self.waiting_size >= self.max_size:
            self.batch_is_full.set()
        if self.worker is None:
            self.worker = loop.create_task(self.work())
        return list(entries)

    async def work(self) -> None:
        """Run batches until nothing waits."""
        running: list[Batch[Row]] = []
        finished: list[Batch[Row]] = []
        try:
            while self.waiting or running:
                if self.waiting and (not running or self.may_join(running)):
                    running.append(self.start_batch())
                deliver(finished)  # only now: the next batch runs while the responses of these are written
                if self.waiting and self.may_join(running):
                    continue
                await self.one_ends(running)
                finished = [batch for batch in running if batch.running.done()]
                running = [batch for batch in running if not batch.running.done()]
                if not running and (rest := self.remaining_window()) > 0:
                    deliver(finished)
                    await self.wait_for_more(rest)
            deliver(finished)
        finally:
            self.worker = None

    def may_join(self, running: Sequence[Batch[Row]]) -> bool:
        """Whether a batch may start beside those that run."""
        return len(running) < self.at_once and self.waiting_size >= self.max_size

    async def one_ends(self, running: Sequence[Batch[Row]]) -> None:
        """Until one of them has ended, or another may start beside them."""
        tasks: set[asyncio.Task[Any]] = {batch.running for batch in running}
        if len(running) == self.at_once:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return
        self.batch_is_full.clear()
        full = asyncio.create_task(self.batch_is_full.wait())
        await asyncio.wait({*tasks, full}, return_when=asyncio.FIRST_COMPLETED)
        full.cancel()

    def start_batch(self) -> Batch[Row]:
        """Start a batch of the items whose turn it is, up to `max_size`; of one that is larger, as it was lowered."""
        now, order = self.clock(), list(self.order())
        sizes = accumulate(self.waiting[future].size for future in order)
        futures = [future for future, _ in zip(order, takewhile(self.fits, sizes), strict=False)] or order[:1]
        before = self.waiting_size
        entries = [self.waiting[future] for future in futures]
        for future, entry in zip(futures, entries, strict=True):
            self.turns.charge(entry.caller, entry.size)
            self.remove(future)
            STAGE["queue"].observe(now - entry.since)
        BATCHES.observe(before - self.waiting_size)
        running = asyncio.create_task(self.rows([entry.item for entry in entries]))
        if spans := [(entry.span, entry.since) for entry in entries if entry.span is not None]:
            running.add_done_callback(partial(self.trace, spans, now, before - self.waiting_size))
        return Batch(futures, running)

    def trace(self, spans: list[tuple[Span, float]], begin: float, images: int, done: asyncio.Task[Any]) -> None:
        """Of each item whose request is recorded: how long it waited, and the batch that it was in."""
        end = self.clock()
        for span, since in spans:
            tracing.record("queue", span, since, begin)
            tracing.record("infer", span, begin, end, images=images)

    def order(self) -> Iterable[asyncio.Future[Row]]:
        """What waits, by turns of the callers; of one caller, what has waited longest first."""
        if len(self.turns.waiting) == 1:
            return self.waiting
        return self.turns.in_turn((future, each.caller, each.size) for future, each in self.waiting.items())

    def fits(self, size: int) -> bool:
        return size <= self.max_size

    def remove(self, future: asyncio.Future[Row]) -> None:
        """Remove an item from the queue, if it still waits."""
        if entry := self.waiting.pop(future, None):
            self.waiting_size -= entry.size
            self.turns.leave(entry.caller, entry.size)
            self.on_change(entry.caller)

    async def rows(self, items: list[Item]) -> Sequence[Row | BatchFailed]:
        rows = await self.compute(items)
        if len(rows) != len(items):
            raise BatchFailed(f"{len(items)} items gave {len(rows)} rows")
        return rows

    def remaining_window(self) -> float:
        """Seconds for which the next batch should still wait for more items; 0 if it is full, or nothing waits."""
        if not self.waiting or self.waiting_size >= self.max_size:
            return 0.0
        return next(iter(self.waiting.values())).since + self.window - self.clock()

    async def wait_for_more(self, seconds: float) -> None:
        """Wait until a batch is full, at most this long."""
        self.batch_is_full.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.batch_is_full.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Refuse new items, and compute those that wait."""
        self.closed = True
        if self.worker is not None:
            await asyncio.wait({self.worker})


def deliver(finished: list[Batch[Row]]) -> None:
    """Each once."""
    while finished:
        finished.pop(0).deliver()


def best_batch_size(seconds: Callable[[int], float]) -> int:
    """The largest bucket that still lowers the time per image; `seconds` gives the time of a batch.

    A batch saves the overhead of calls, and on a GPU uses cores that one image leaves idle. On a CPU a large network
    gains nothing and outgrows the caches: there batches would cost throughput and latency.
    """
    best_time, best_size, misses = seconds(1), 1, 0
    for size in BUCKETS[1:]:
        if best_time * size > MAX_BATCH_SECONDS:
            break
        each = seconds(size) / size
        if each <= GAIN * best_time:
            best_time, best_size, misses = each, size, 0
        elif misses:  # twice in a row: a single miss may be noise of other programs
            break
        else:
            misses = 1
    return best_size
