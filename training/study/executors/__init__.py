"""Who runs the jobs: each executor is a context that gives workers, who take jobs and give back finished ones."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from vitrail.training.study.jobs import Done, Job


class Workers(Protocol):
    """They run `size` jobs at a time."""

    @property
    def size(self) -> int: ...

    def work(self, jobs: Iterable[Job]) -> Iterator[Done]: ...
