"""Who runs the jobs: each executor is a context that gives a function from jobs to an iterator of finished ones."""

from collections.abc import Callable, Iterable, Iterator

from vitrail.training.study.jobs import Done, Job

Work = Callable[[Iterable[Job]], Iterator[Done]]

__all__ = ["Done", "Job", "Work"]
