"""Which caller may have the next core, where several processes decode."""

import time
from collections import Counter
from collections.abc import Mapping

from vitrail.serving.siblings import Siblings

PATIENCE = 100_000_000  # nanoseconds longer that a caller was held back elsewhere, for which it gives way to itself


class CoreShares:
    """Of the callers that wait in one process: who starts no more, and who comes first.

    A caller may have connections to some processes only, and would have turns in these alone. So while all cores work
    and others wait, in whichever process, a caller with its share of the cores is held back, and goes on where it has
    been held back for longest. One with less than its share comes first.
    """

    def __init__(self, cores: int | None, siblings: Siblings) -> None:
        """The cores are those of all processes; None where this one has them all, and callers only take turns."""
        self.cores = cores
        self.siblings = siblings
        self.running: Counter[str] = Counter()  # jobs of each caller in this process
        self.alone = True  # one caller needs no shares
        self.behind: set[str] = set()
        self.ahead: set[str] = set()
        self.held: set[str] = set()
        self.held_since: dict[str, int] = {}  # nanoseconds; until a job of the caller starts

    def look(self, waiting: Mapping[str, int]) -> None:
        """See who has what now; `waiting` are the requests of each caller in this process."""
        self.held, self.behind, self.ahead = set(), set(), set()
        present = self.siblings.callers("images") + Counter(waiting)
        self.alone = self.cores is None or len(present) < 2
        if self.cores is None or self.alone:
            return
        running = self.siblings.callers("decoding") + self.running
        share = max(1, self.cores // len(present))
        due = sum(max(0, min(share, count) - running[caller]) for caller, count in present.items())
        self.behind = {caller for caller in waiting if running[caller] < share}
        self.ahead = waiting.keys() - self.behind if running.total() + due >= self.cores else set()

    def hold(self, caller: str, *, has_thread: bool) -> bool:
        """Whether the caller is held back; without a free thread, a spare one is for who is behind or was held."""
        if self.alone:
            return False
        now = time.monotonic_ns()
        since = self.held_since.get(caller, now)
        may_start = has_thread or caller in self.behind or now - since > PATIENCE
        waits_longer_elsewhere = self.siblings.first_held(caller) < since - PATIENCE
        if may_start and caller not in self.ahead and not waits_longer_elsewhere:
            return False
        self.held.add(caller)
        self.held_since[caller] = since
        return True

    def publish(self) -> None:
        for caller, since in self.held_since.items():
            self.siblings.publish_caller("held_since", caller, since if caller in self.held else 0)

    def start(self, caller: str) -> None:
        self.change(caller, 1)
        self.forget(caller)

    def end(self, caller: str) -> None:
        self.change(caller, -1)

    def change(self, caller: str, by: int) -> None:
        self.running[caller] += by
        self.siblings.publish_caller("decoding", caller, self.running[caller])
        if not self.running[caller]:
            del self.running[caller]

    def forget(self, caller: str) -> None:
        """That the caller was held back."""
        if self.held_since.pop(caller, None) is not None:
            self.held.discard(caller)
            self.siblings.publish_caller("held_since", caller, 0)
