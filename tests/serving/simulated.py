"""Simulated time for asyncio, and a batcher around a model that only doubles numbers."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from vitrail.serving.engine.batcher import Batcher


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer as soon as nothing else is ready."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("deadlock: every task waits, and no timer is set")
        self.loop.now += timeout
        return super().select(0)


def simulate(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(scenario())


class Doubler:
    """Doubles numbers, each batch in `seconds`; records its batches and their times. It cannot double -1."""

    def __init__(self, seconds: float = 1.0, at_once: int = 1) -> None:
        self.seconds, self.at_once = seconds, at_once
        self.batches: list[list[int]] = []
        self.times: list[float] = []
        self.running = 0

    async def __call__(self, items: list[int]) -> list[int]:
        assert self.running < self.at_once, "too many batches at a time"
        self.running += 1
        self.batches.append(items)
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        self.running -= 1
        if -1 in items:
            raise ZeroDivisionError("cannot")
        return [2 * item for item in items]


def batcher(
    compute: Callable[[list[int]], Awaitable[list[int]]], capacity: int = 100, **options: Any
) -> Batcher[int, int]:
    return Batcher(compute, capacity, clock=asyncio.get_running_loop().time, **options)


def submit(queue: Batcher[int, int], *items: int) -> asyncio.Task[list[int]]:
    return asyncio.create_task(queue.submit(items))


async def until(seconds: float) -> None:
    """Sleep until this simulated time."""
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


class Queue:
    """A batcher's queue as admission sees it, with the seconds that an image takes."""

    def __init__(self, of: Batcher[int, int], rate: float = 0.0) -> None:
        self.batcher, self.rate = of, rate

    @property
    def capacity(self) -> int:
        return self.batcher.capacity

    @property
    def waiting_size(self) -> int:
        return self.batcher.waiting_size

    @property
    def waiting(self) -> Mapping[str, int]:
        return self.batcher.turns.waiting
