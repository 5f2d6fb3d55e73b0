"""Executors: each is a context manager that yields workers, which run jobs and return finished runs."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from vitrail.training.study.jobs import FinishedRun, Job


class Workers(Protocol):
    """Run `size` jobs at a time."""

    @property
    def size(self) -> int: ...

    def work(self, jobs: Iterable[Job]) -> Iterator[FinishedRun]: ...
