"""Turns of callers: whose is next, how long that takes, and who may still join the queue."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from typing import TypeVar

T = TypeVar("T")

OVERFLOW = 2  # times the capacity of a queue, with what callers add that have less than their share of it

Waiting = Mapping[str, int]  # images or requests of each caller


class Turns:
    """What each caller has had while something of it waits; the next turn is of the one that has had least.

    A caller that joins begins level with the one that has had least: it does not catch up on what it did not need.
    """

    def __init__(self) -> None:
        self.had: dict[str, float] = {}
        self.waiting: dict[str, int] = {}

    def join(self, caller: str, count: int = 1) -> None:
        if caller not in self.had:
            self.had[caller] = min(self.had.values(), default=0.0)
        self.waiting[caller] = self.waiting.get(caller, 0) + count

    def leave(self, caller: str, count: int = 1) -> None:
        self.waiting[caller] -= count
        if not self.waiting[caller]:
            del self.had[caller], self.waiting[caller]

    def charge(self, caller: str, amount: float) -> None:
        """Add to what a caller has had; of one that has left, nothing is kept."""
        if caller in self.had:
            self.had[caller] += amount

    def in_turn(self, items: Iterable[tuple[T, str, float]]) -> Iterator[T]:
        """Items, given with their callers and sizes, in the order of turns; those of one caller in their own order."""
        queues: dict[str, list[tuple[T, float]]] = {}
        for item, caller, size in items:
            queues.setdefault(caller, []).append((item, size))
        heap = [(self.had[caller], number, iter(queue)) for number, (caller, queue) in enumerate(queues.items())]
        heapify(heap)
        while heap:
            had, number, queue = heap[0]
            if (entry := next(queue, None)) is None:
                heappop(heap)
                continue
            heapreplace(heap, (had + entry[1], number, queue))
            yield entry[0]


def place(waiting: Waiting, caller: str) -> int:
    """How many come before the caller's next one: its own, and of each other caller at most as many and one."""
    own = waiting.get(caller, 0)
    return own + sum(min(count, own + 1) for other, count in waiting.items() if other != caller)


def has_room(waiting: Waiting, caller: str, count: int, capacity: int) -> bool:
    """Whether so many more may wait; each caller has its share of a full queue, so that none keeps others out."""
    total = sum(waiting.values()) + count
    if total <= capacity:
        return True
    share = capacity // len({*waiting, caller})
    return total <= OVERFLOW * capacity and waiting.get(caller, 0) + count <= share
