"""Amounts that the processes of a server publish for each other, in shared memory."""

import asyncio
import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np

from vitrail.serving.processes.memory import Arena, create
from vitrail.serving.siblings import Amount, OfCaller

CALLERS = 64  # of a process; of further ones only the whole amounts are known to others
MAX_NAME = 48  # bytes, as IPv6 has 45
BEAT = 0.25  # seconds
HUNG = 1_000_000_000  # nanoseconds without a beat, after which a process has no callers or claims for others
FRESH = 0.001  # seconds for which what others have of each caller is read once
OF_CALLER: tuple[OfCaller, ...] = get_args(OfCaller)
CALLER = np.dtype([("name", f"S{MAX_NAME}"), *((name, np.int64) for name in OF_CALLER)])

Column = Amount | Literal["claim", "claimed_at", "closed"]  # closed connections, of those that the process was given
COLUMNS: tuple[Column, ...] = (*get_args(Amount), "claim", "claimed_at", "closed")
NEVER = np.iinfo(np.int64).max
NUMBER = np.dtype(np.int64).itemsize


class Board:
    """A column for each amount, with a number of each process; and each one's table of callers."""

    def __init__(self, descriptor: int, rows: int, own: int) -> None:
        self.descriptor, self.count, self.number = descriptor, rows, own
        memory = Arena(descriptor, size_of(rows))
        numbers = memoryview(memory.bytes)[: len(COLUMNS) * rows * NUMBER].cast("q")
        self.columns = {name: numbers[at * rows : (at + 1) * rows] for at, name in enumerate(COLUMNS)}
        callers = memory.array(len(COLUMNS) * rows * NUMBER, (rows * CALLERS * CALLER.itemsize,)).view(CALLER)
        self.callers_of = callers.reshape(rows, CALLERS)
        self.table = {name: self.callers_of[own][name] for name in CALLER.names or ()}
        self.slots: dict[str, int] = {}
        self.unused = list(range(CALLERS))
        self.read: dict[OfCaller, tuple[float, Counter[str]]] = {}

    @classmethod
    def of(cls, rows: int) -> "Board":
        """A new board; the process that makes it has the last row."""
        return cls(create(size_of(rows + 1)), rows + 1, rows)

    def publish(self, amount: Amount, value: int) -> None:
        self.columns[amount][self.number] = value

    def others(self, amount: Amount) -> int:
        column = self.columns[amount]
        return sum(column) - column[self.number]

    def publish_caller(self, amount: OfCaller, caller: str, value: int) -> None:
        slot = self.slots.get(caller)
        if slot is None:
            if not value or not self.unused:
                return
            slot = self.slots[caller] = self.unused.pop()
            self.table["name"][slot] = name_of(caller)
        self.table[amount][slot] = value
        if not value and not any(self.table[each][slot] for each in OF_CALLER):
            self.unused.append(self.slots.pop(caller))

    def callers(self, amount: OfCaller) -> Counter[str]:
        """Read at most once in FRESH: it is for estimates."""
        now = time.monotonic()
        since, counts = self.read.get(amount, (0.0, Counter()))
        if now - since > FRESH:
            counts = self.read_callers(amount)
            self.read[amount] = now, counts
        return counts

    def read_callers(self, amount: OfCaller) -> Counter[str]:
        counts: Counter[str] = Counter()
        names, numbers = self.callers_of["name"], self.callers_of[amount]
        ignored = {self.number, *self.hung()}
        for row, slot in np.argwhere(numbers > 0):
            if row not in ignored:
                counts[names[row, slot].decode(errors="replace")] += int(numbers[row, slot])
        return counts

    def first_held(self, caller: str) -> float:
        since = self.callers_of["held_since"]
        held = (since > 0) & (self.callers_of["name"] == name_of(caller))
        held[[self.number, *self.hung()]] = False
        return float(since[held].min(initial=NEVER))

    def beat(self) -> None:
        """Say that this process has not hung."""
        self.publish("alive_at", time.monotonic_ns())

    async def keep_beating(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(BEAT)

    def hung(self) -> list[int]:
        """Rows of processes that have stopped beating: others would wait for ever for what they hold back."""
        latest = time.monotonic_ns() - HUNG
        return [row for row, at in enumerate(self.columns["alive_at"]) if 0 < at < latest]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The system's, which a process that ends gives back."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def claim(self, size: int) -> None:
        if size and not self.columns["claim"][self.number]:
            self.columns["claimed_at"][self.number] = time.monotonic_ns()
        self.columns["claim"][self.number] = size

    def claimed(self, up_to: int) -> int:
        """An own claim comes before later ones: of all claims the oldest is always served."""
        claims, since, hung = self.columns["claim"], self.columns["claimed_at"], self.hung()
        own = since[self.number] if claims[self.number] else time.monotonic_ns()
        earlier = [row for row, at in enumerate(since) if at < own and row not in hung]
        return sum(claims[row] for row in earlier if claims[row] <= up_to)

    def close_connection(self) -> None:
        self.columns["closed"][self.number] += 1

    def clear(self, row: int) -> None:
        """Forget a process that has ended."""
        for column in self.columns.values():
            column[row] = 0
        self.callers_of[row] = np.zeros(CALLERS, CALLER)

    def inheritable(self) -> int:
        os.set_inheritable(self.descriptor, True)
        return self.descriptor


def name_of(caller: str) -> bytes:
    return caller.encode(errors="replace")[:MAX_NAME]


def size_of(rows: int) -> int:
    return rows * (len(COLUMNS) * NUMBER + CALLERS * CALLER.itemsize)
