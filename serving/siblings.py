"""What the other processes of this server hold and have waiting; a server of one process has none."""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import Literal, Protocol

Amount = Literal[
    "held",
    "admitted",
    "in_flight",
    "reserved",
    "costly",
    "changes",
    "decoding",
    "waiting",
    "nanoseconds",
    "loading",
    "alive_at",
]
OfCaller = Literal["requests", "images", "infer", "decoding", "held_since"]


class Siblings(Protocol):
    """Amounts that every process publishes for the others, whole and by caller."""

    def publish(self, amount: Amount, value: int) -> None:
        """Say what this process has."""

    def others(self, amount: Amount) -> int:
        """What the others have together."""

    def publish_caller(self, amount: OfCaller, caller: str, value: int) -> None:
        """Say what one caller has here."""

    def callers(self, amount: OfCaller) -> Counter[str]:
        """What callers have in the others."""

    def first_held(self, caller: str) -> float:
        """Since when, in nanoseconds, one of the others holds back a job of the caller; infinite where none does."""

    def lock(self) -> AbstractContextManager[None]:
        """While it is held, no other process reserves memory."""

    def claim(self, size: int) -> None:
        """Say how many bytes the next job needs and has no room for; 0 where none waits."""

    def claimed(self, up_to: int) -> int:
        """Bytes that others have claimed before this process did, of claims of at most so many each."""


class Alone:
    """No others."""

    def publish(self, amount: Amount, value: int) -> None:
        pass

    def others(self, amount: Amount) -> int:
        return 0

    def publish_caller(self, amount: OfCaller, caller: str, value: int) -> None:
        pass

    def callers(self, amount: OfCaller) -> Counter[str]:
        return Counter()

    def first_held(self, caller: str) -> float:
        return inf

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def claim(self, size: int) -> None:
        pass

    def claimed(self, up_to: int) -> int:
        return 0
