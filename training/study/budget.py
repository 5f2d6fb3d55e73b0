"""A budget of time: what runs are expected to take, from those that have ended, and which longer ones it still buys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vitrail.training.study.jobs import FinishedRun, Job

USED = 0.9  # share of the workers' time in which they run; they wait for the last run of a round


@dataclass(frozen=True)
class Budget:
    """Seconds of all workers together."""

    seconds: float

    @classmethod
    def of(cls, seconds: float, workers: int) -> "Budget":
        return cls(USED * seconds * workers)

    def affordable(self, jobs: Sequence[Job], done: Iterable[FinishedRun], reported: Sequence[Job]) -> list[Job]:
        """The trials that leave enough time for the reported runs, each of which becomes as long as its last trial.

        Trials of a contender and size are made together or not at all, the cheapest first.
        """
        rates = seconds_a_step(done)
        left = self.seconds - sum(one.timing.seconds for one in done if one.timing)
        left -= sum(expected(job, rates) for job in reported)
        bought: list[Job] = []
        for group in sorted(cells(jobs), key=lambda group: sum(expected(job, rates) for job in group)):
            longer = [job for job in reported if (job.contender, job.size) == (group[0].contender, group[0].size)]
            cost = sum(expected(job, rates) for job in group) + sum(
                expected(job, rates) * ((group[0].steps or 0) / (job.steps or 1) - 1) for job in longer
            )
            if cost <= left:
                left -= cost
                bought += group
        return [job for job in jobs if job in bought]


def cells(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs by contender and size."""
    groups: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.contender, job.size), []).append(job)
    return list(groups.values())


def seconds_a_step(done: Iterable[FinishedRun]) -> dict[tuple[str, int], float]:
    """By contender and size."""
    times: dict[tuple[str, int], list[float]] = {}
    for one in done:
        if one.result and one.timing:
            times.setdefault((one.job.contender, one.job.size), []).append(one.timing.seconds / one.result.steps)
    return {key: fmean(each) for key, each in times.items()}


def expected(job: Job, rates: Mapping[tuple[str, int], float]) -> float:
    """Seconds of a run: its steps take those of the nearest size of its contender that has been timed."""
    own = {size: seconds for (name, size), seconds in rates.items() if name == job.contender}
    if not own:
        return 0.0
    nearest = min(own, key=lambda size: (max(size, job.size) / min(size, job.size), -size))
    return own[nearest] * (job.steps or 0)
