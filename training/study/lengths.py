"""The length of runs: doubled, on validation images, until twice the steps no longer help or the budget ends."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from vitrail.training.study.jobs import FinishedRun, Job, Result
from vitrail.training.study.learning_rates import ChosenRates, Score, Scores, between, score


@dataclass(frozen=True)
class Length:
    """The steps of a run, and whether twice as many were tried and did not help."""

    steps: int
    is_trained_out: bool


Lengths = dict[str, dict[int, Length]]  # contender, tuned size


def found(tried: Mapping[Job, Result], chosen: ChosenRates, tolerance: float) -> Lengths:
    """Of every contender at every tuned size, from its trials with the chosen rate."""
    return {
        contender: {
            size: length_of(scores_by_steps(tried, contender, size, rate), tolerance) for size, rate in rates.items()
        }
        for contender, rates in chosen.items()
    }


def scores_by_steps(tried: Mapping[Job, Result], contender: str, size: int, rate: float) -> Scores:
    """By steps that all seeds of the shortest runs have finished."""
    jobs = [job for job in tried if (job.contender, job.size, job.rate) == (contender, size, rate)]
    seeds = Counter(job.steps for job in jobs if job.steps is not None)
    return {
        steps: score(tried[job] for job in jobs if job.steps == steps)
        for steps in sorted(seeds)
        if seeds[steps] == seeds[min(seeds)]
    }


def length_of(scores: Scores, tolerance: float) -> Length:
    """The shortest run that twice its steps do not improve; else the longest that was tried."""
    steps = [round(each) for each in sorted(scores)]
    for short, long in pairwise(steps):
        if gain(scores[short], scores[long]) <= tolerance:
            return Length(short, True)
    return Length(steps[-1], False)


def gain(before: Score, after: Score) -> float:
    """By how much the error falls, as a share of it; where it does not rise, the loss may fall by more.

    Few validation images make errors coarse; the loss still shows that a run gets better.
    """
    if after.error > before.error:
        return fall(before.error, after.error)
    return max(fall(before.error, after.error), fall(before.loss, after.loss))


def fall(before: float, after: float) -> float:
    return 0.0 if before <= 0 else (before - after) / before


def length_at(size: int, lengths: Mapping[int, Length], unit: int) -> Length:
    """Interpolated between tuned sizes, in whole `unit`s of steps; trained out only if both neighbours are."""
    steps = between(size, {tuned: length.steps for tuned, length in lengths.items()})
    below, above = max(tuned for tuned in lengths if tuned <= size), min(tuned for tuned in lengths if tuned >= size)
    return Length(max(1, round(steps / unit)) * unit, lengths[below].is_trained_out and lengths[above].is_trained_out)


def longer(lengths: Lengths, tried: Iterable[Job], chosen: ChosenRates, most: int) -> list[Job]:
    """The trials of twice the steps where runs are not trained out yet; the longest first."""
    jobs = [
        replace(job, steps=2 * length.steps)
        for job in tried
        for length in (lengths.get(job.contender, {}).get(job.size),)
        if length is not None
        and not length.is_trained_out
        and 2 * length.steps <= most
        and (job.rate, job.steps) == (chosen[job.contender][job.size], length.steps)
    ]
    return sorted(jobs, key=lambda job: -job.size)


def is_limited(runs: Iterable[FinishedRun], wanted: Length | None) -> bool:
    """Whether the runs of a cell are too short, or not known to be long enough; without lengths nothing is said."""
    return wanted is not None and (
        not wanted.is_trained_out or any(one.job.steps is None or one.job.steps < wanted.steps for one in runs)
    )
