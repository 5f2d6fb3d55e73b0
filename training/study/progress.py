"""How far a study is and how long it still takes: a live bar on a terminal, plain lines anywhere else."""

import sys
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vitrail.training.study.jobs import Done


class Show(Protocol):
    """Somewhere to tell how a study goes."""

    def say(self, line: str) -> None: ...

    def done(self, done: Done, count: int, total: int, left: float | None) -> None:
        """One more run ended, `count` of `total`; `left` seconds are to come."""
        ...

    def close(self) -> None: ...


class Lines:
    """A line for every run."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def done(self, done: Done, count: int, total: int, left: float | None) -> None:
        remaining = "" if left is None else f"; {span(left)} left"
        self.say(f"{count}/{total}  {done.job}: {outcome(done)}{remaining}")

    def close(self) -> None:
        pass


class Bar:
    """A bar over all runs; what went wrong stays above it."""

    def __init__(self) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns)
        self.task = self.bar.add_task("", total=None)
        self.bar.start()

    def say(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False)

    def done(self, done: Done, count: int, total: int, left: float | None) -> None:
        if done.fault:
            self.say(f"{done.job}: {outcome(done)}")
        remaining = "" if left is None else f"{span(left)} left, "
        self.bar.update(self.task, completed=count, total=total, description=f"{remaining}{done.job}: {outcome(done)}")

    def close(self) -> None:
        self.bar.stop()


def show() -> Show:
    return Bar() if sys.stdout.isatty() else Lines()


def outcome(done: Done) -> str:
    if done.result is None or done.timing is None:
        return f"failed: {done.fault}"
    if done.job.tries:
        return f"validation error {done.result.val_error:.4f}, {done.timing.seconds:.1f} s"
    return f"test error {done.result.test_error:.4f}, {done.timing.seconds:.1f} s"


def span(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def seconds_left(ahead: Mapping[tuple[str, int], int], done: Iterable[Done], workers: int) -> float | None:
    """Runs ahead by contender and size, at the pace of those alike, else of the same contender, else of all."""
    known = [(one.job, one.timing.seconds) for one in done if one.timing]
    if not known:
        return None

    def expected(contender: str, size: int) -> float:
        same = [(job, seconds) for job, seconds in known if job.contender == contender]
        alike = [(job, seconds) for job, seconds in same if job.size == size]
        return fmean(seconds for _, seconds in alike or same or known)

    total = sum(count * expected(*place) for place, count in ahead.items())
    return total / max(1, min(workers, sum(ahead.values())))
