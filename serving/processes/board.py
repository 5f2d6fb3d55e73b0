"""Amounts that the processes of a server publish for each other, in shared memory: a row for each process."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import get_args

import numpy as np

from vitrail.serving.processes.memory import Arena, create
from vitrail.serving.siblings import Amount, OfCaller

CALLERS = 64  # of a process; of further ones only the whole amounts are known to others
MAX_NAME = 48  # bytes, as IPv6 has 45
CALLER = np.dtype([("name", f"S{MAX_NAME}"), *((name, np.int64) for name in get_args(OfCaller))])
ROW = np.dtype(
    [
        *((name, np.int64) for name in get_args(Amount)),
        ("claim", np.int64),  # bytes
        ("claimed_at", np.int64),
        ("closed", np.int64),  # connections that this process was given and has closed
        ("callers", CALLER, CALLERS),
    ]
)


class Board:
    """The rows of all processes, and the writer of one of them."""

    def __init__(self, descriptor: int, rows: int, own: int) -> None:
        self.descriptor = descriptor
        memory = Arena(descriptor, rows * ROW.itemsize)
        self.rows = memory.array(0, (rows * ROW.itemsize,)).view(ROW)
        self.number = own
        self.own = self.rows[own : own + 1]
        self.mine = {name: self.own[name] for name in ROW.names or ()}
        self.all = {name: self.rows[name] for name in ROW.names or ()}
        self.table = {name: self.own["callers"][name][0] for name in CALLER.names or ()}
        self.slots: dict[str, int] = {}
        self.unused = list(range(CALLERS))

    @classmethod
    def of(cls, rows: int) -> "Board":
        """A new board; the process that makes it has the last row."""
        return cls(create((rows + 1) * ROW.itemsize), rows + 1, rows)

    def publish(self, amount: Amount, value: int) -> None:
        self.mine[amount][0] = value

    def others(self, amount: Amount) -> int:
        column = self.all[amount]
        return int(column.sum()) - int(column[self.number])

    def publish_caller(self, amount: OfCaller, caller: str, value: int) -> None:
        slot = self.slots.get(caller)
        if slot is None:
            if not value or not self.unused:
                return
            slot = self.slots[caller] = self.unused.pop()
            self.table["name"][slot] = caller.encode(errors="replace")[:MAX_NAME]
        self.table[amount][slot] = value
        if not value and not any(self.table[each][slot] for each in get_args(OfCaller)):
            self.unused.append(self.slots.pop(caller))

    def callers(self, amount: OfCaller) -> Counter[str]:
        counts: Counter[str] = Counter()
        table = self.rows["callers"]
        for row, slot in np.argwhere(table[amount] > 0):
            if row != self.number:
                counts[table["name"][row, slot].decode(errors="replace")] += int(table[amount][row, slot])
        return counts

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The system's, which a process that ends gives back."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def claim(self, size: int) -> None:
        if size and not self.mine["claim"][0]:
            self.mine["claimed_at"][0] = monotonic_ns()
        self.mine["claim"][0] = size

    def room_elsewhere(self) -> int:
        """An own claim comes before later ones: of all claims the oldest is always served."""
        claims, since = self.all["claim"], self.all["claimed_at"]
        own = self.mine["claim"][0] > 0
        earlier = (since < self.mine["claimed_at"][0]) if own else np.ones(len(claims), bool)
        earlier[self.number] = False
        return self.others("reserved") + int(claims[earlier].sum())

    def close_connection(self) -> None:
        self.mine["closed"][0] += 1

    def clear(self, row: int) -> None:
        """Forget a process that has ended."""
        self.rows[row : row + 1] = np.zeros(1, ROW)

    def inheritable(self) -> int:
        os.set_inheritable(self.descriptor, True)
        return self.descriptor
