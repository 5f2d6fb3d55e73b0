"""Dynamic batching: a bounded queue of items from many requests, computed in batches."""

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, takewhile
from typing import Any, Generic, TypeVar

from opentelemetry.trace import Span

from vitrail.errors import VitrailError
from vitrail.serving import tracing
from vitrail.serving.engine.turns import Turns, has_room
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.middleware import BATCHES, STAGE

Item = TypeVar("Item")
Row = TypeVar("Row")

BUCKETS = (1, 2, 4, 8, 16, 32)
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
    running: asyncio.Task[Sequence[Row]]

    def deliver(self) -> None:
        """Set each future's row, or the error; cancelled futures are skipped."""
        error = self.running.exception()
        rows: Sequence[Row | None] = [None] * len(self.futures) if error else self.running.result()
        for future, row in zip(self.futures, rows, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(row)  # type: ignore[arg-type]  # a row exists where there is no error
            else:
                failed = BatchFailed(f"the model failed on a batch of {len(self.futures)}: {error}")
                failed.__cause__ = error
                future.set_exception(failed)


class Batcher(Generic[Item, Row]):
    """Calls `compute` with one batch at a time, and returns each row to the request that waits for it.

    An idle batcher computes an item at once. While a batch runs, items gather; the next batch takes all that wait,
    up to `max_size`, once the first of them has waited for `window`. Where more wait, callers take turns. A cancelled
    request leaves the queue at once, so nothing is computed for it. `size` gives the number of images in an item, at
    most `max_size`.
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], Awaitable[Sequence[Row]]],
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
        finished: Batch[Row] | None = None
        try:
            while self.waiting:
                batch = self.start_batch()
                if finished:  # only now: the next batch runs while the responses of this one are written
                    finished.deliver()
                await asyncio.wait({batch.running})
                finished = batch
                if (rest := self.remaining_window()) > 0:
                    finished.deliver()
                    finished = None
                    await self.wait_for_more(rest)
            if finished:
                finished.deliver()
        finally:
            self.worker = None

    def start_batch(self) -> Batch[Row]:
        """Start a batch of the items whose turn it is, up to `max_size`."""
        now, order = self.clock(), list(self.order())
        sizes = accumulate(self.waiting[future].size for future in order)
        futures = [future for future, _ in zip(order, takewhile(self.fits, sizes), strict=False)]
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

    async def rows(self, items: list[Item]) -> Sequence[Row]:
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


def bucket(count: int) -> int:
    """The smallest bucket that holds `count`; few sizes, as each needs a plan and memory on a GPU."""
    return BUCKETS[bisect_left(BUCKETS, count)]


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
