"""Progress of a study and the time left: a live bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vitrail.training.study.jobs import FinishedRun


class ProgressDisplay(Protocol):
    def message(self, line: str) -> None: ...

    def run_finished(self, done: FinishedRun, count: int, total: int, left: float | None) -> None:
        """`count` of `total` runs have ended; `left` is in seconds."""
        ...

    def close(self) -> None: ...


class LineDisplay:
    """One line a run."""

    def message(self, line: str) -> None:
        print(line, flush=True)

    def run_finished(self, done: FinishedRun, count: int, total: int, left: float | None) -> None:
        remaining = "" if left is None else f"; {duration(left)} left"
        self.message(f"{count}/{total}  {done.job}: {summary(done)}{remaining}")

    def close(self) -> None:
        pass


class BarDisplay:
    """A bar over all runs; failures are printed above it."""

    def __init__(self) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns)
        self.task = self.bar.add_task("", total=None)
        self.bar.start()

    def message(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False)

    def run_finished(self, done: FinishedRun, count: int, total: int, left: float | None) -> None:
        if done.fault:
            self.message(f"{done.job}: {summary(done)}")
        remaining = "" if left is None else f"{duration(left)} left, "
        self.bar.update(self.task, completed=count, total=total, description=f"{remaining}{done.job}: {summary(done)}")

    def close(self) -> None:
        self.bar.stop()


def progress_display() -> ProgressDisplay:
    return BarDisplay() if sys.stdout.isatty() else LineDisplay()


def summary(done: FinishedRun) -> str:
    if done.result is None or done.timing is None:
        return f"failed: {done.fault}"
    if done.job.tries:
        return f"validation error {done.result.val_error:.4f}, {done.timing.seconds:.1f} s"
    return f"test error {done.result.test_error:.4f}, {done.timing.seconds:.1f} s"


def duration(seconds: float) -> str:
    """In s, min or h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def seconds_left(remaining: Mapping[tuple[str, int], int], done: Iterable[FinishedRun], workers: int) -> float | None:
    """An estimate for the remaining runs by contender and size.

    Each is expected to take the mean of finished runs of the same contender and size, else of the same contender, else
    of all.
    """
    known = [(one.job, one.timing.seconds) for one in done if one.timing]
    if not known:
        return None

    def expected(contender: str, size: int) -> float:
        same = [(job, seconds) for job, seconds in known if job.contender == contender]
        alike = [(job, seconds) for job, seconds in same if job.size == size]
        return fmean(seconds for _, seconds in alike or same or known)

    total = sum(count * expected(*key) for key, count in remaining.items())
    return total / max(1, min(workers, sum(remaining.values())))
