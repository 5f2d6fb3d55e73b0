"""A crew of long-lived workers: hands out jobs, replaces who dies, and tries a run that lost its worker once more."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from vitrail.errors import VitrailError
from vitrail.training.study.jobs import Done, Job

MOST_DEATHS = 4  # one after the other, without a run finished between: then no worker lives long enough


class Hand(Protocol):
    """One worker, wherever it lives."""

    def take(self, job: Job) -> None:
        """Begin a job; returns at once."""
        ...

    def dismiss(self) -> None:
        """End it, whether or not it still lives."""
        ...


Hire = Callable[[], Hand]
Ready = Callable[[list[Hand]], list[tuple[Hand, Done | None]]]  # waits; None: this worker died


class Crew:
    """`size` workers, hired when there is work for them."""

    def __init__(self, hire: Hire, ready: Ready, size: int) -> None:
        self.hire, self.ready, self.size = hire, ready, size
        self.idle: list[Hand] = []
        self.busy: dict[Hand, Job] = {}

    def work(self, jobs: Iterable[Job]) -> Iterator[Done]:
        waiting, retried, deaths = deque(jobs), set[Job](), 0
        while waiting or self.busy:
            while waiting and len(self.busy) < self.size:
                self.begin(waiting.popleft())
            for hand, done in self.ready(list(self.busy)):
                job = self.busy.pop(hand)
                if done is not None:
                    deaths = 0
                    self.idle.append(hand)
                    yield done
                    continue
                deaths += 1
                hand.dismiss()
                if deaths >= MOST_DEATHS:
                    raise VitrailError(
                        f"{deaths} workers died one after the other, the last one with {job}: "
                        "is there memory for so many at a time? see --workers"
                    )
                if job in retried:
                    yield Done(job, fault="its worker died, and so did the next one")
                else:
                    retried.add(job)
                    waiting.appendleft(job)

    def begin(self, job: Job) -> None:
        hand = self.idle.pop() if self.idle else self.hire()
        self.busy[hand] = job
        hand.take(job)

    def dismiss(self) -> None:
        for hand in [*self.idle, *self.busy]:
            hand.dismiss()
        self.idle.clear()
        self.busy.clear()
