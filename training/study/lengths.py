"""The length of runs: doubled, on validation images, until twice the steps no longer help or the budget ends.

A longer run may need a lower rate: twice the steps are tried with the rate of the shorter run and with the next below.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vitrail.training.study.jobs import FinishedRun, Job, Result
from vitrail.training.study.learning_rates import ChosenRates, Score, Scores, between, lower, rate_at, score


@dataclass(frozen=True)
class Length:
    """The steps of a run, its rate, and whether twice as many steps were tried and did not help."""

    steps: int
    rate: float
    is_trained_out: bool


Lengths = dict[str, dict[int, Length]]  # contender, tuned size


def found(tried: Mapping[Job, Result], chosen: ChosenRates, tolerance: float) -> Lengths:
    """Of every contender at every tuned size, from its trials; `chosen` are the rates of the shortest runs."""
    return {
        contender: {
            size: length_of(scores_by_steps(tried, contender, size), rate, tolerance) for size, rate in rates.items()
        }
        for contender, rates in chosen.items()
    }


def scores_by_steps(tried: Mapping[Job, Result], contender: str, size: int) -> dict[int, Scores]:
    """By steps and rate, where all seeds of the shortest runs have finished."""
    jobs = [job for job in tried if (job.contender, job.size) == (contender, size) and job.steps is not None]
    seeds = Counter((job.steps or 0, job.rate) for job in jobs)
    most = max(seeds.values(), default=0)
    scores: dict[int, Scores] = {}
    for (steps, rate), count in sorted(seeds.items()):
        if count == most:
            scores.setdefault(steps, {})[rate] = score(
                tried[job] for job in jobs if (job.steps, job.rate) == (steps, rate)
            )
    return scores


def length_of(scores: Mapping[int, Scores], rate: float, tolerance: float) -> Length:
    """The shortest run that twice its steps do not improve; trained out only where they were tried with both rates."""
    steps, rates = min(scores), rates_of_shortest(scores)
    while True:
        candidates = rates_of_longer(rate, rates)
        longer = {each: one for each, one in scores.get(2 * steps, {}).items() if each in candidates}
        gains = {each: gain(scores[steps][rate], one) for each, one in longer.items()}
        best = max(gains, key=lambda each: gains[each], default=rate)
        if gains.get(best, 0.0) <= tolerance:
            return Length(steps, rate, longer.keys() == set(candidates))
        steps, rate = 2 * steps, best


def rates_of_shortest(scores: Mapping[int, Scores]) -> Scores:
    return scores[min(scores)]


def rates_of_longer(rate: float, tried: Iterable[float]) -> list[float]:
    """Those that twice the steps are tried with; `tried` were the shortest runs'."""
    below = lower(rate, tried)
    return [rate] if below is None else [rate, below]


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
    rate = rate_at(size, {tuned: length.rate for tuned, length in lengths.items()})
    below, above = max(tuned for tuned in lengths if tuned <= size), min(tuned for tuned in lengths if tuned >= size)
    is_trained_out = lengths[below].is_trained_out and lengths[above].is_trained_out
    return Length(max(1, round(steps / unit)) * unit, rate, is_trained_out)


def longer(lengths: Lengths, tried: Mapping[Job, Result], most: int) -> list[Job]:
    """The trials of twice the steps where runs are not trained out yet; the longest first."""
    jobs = [
        replace(job, steps=2 * length.steps, rate=rate)
        for job in tried
        for length in (lengths.get(job.contender, {}).get(job.size),)
        if length is not None
        and not length.is_trained_out
        and 2 * length.steps <= most
        and (job.rate, job.steps) == (length.rate, length.steps)
        for rate in rates_of_longer(length.rate, rates_of_shortest(scores_by_steps(tried, job.contender, job.size)))
    ]
    return sorted(jobs, key=lambda job: -job.size)


def is_limited(runs: Iterable[FinishedRun], wanted: Length | None) -> bool:
    """Whether the runs of a cell are too short, or not known to be long enough; without lengths nothing is said."""
    return wanted is not None and (
        not wanted.is_trained_out or any(one.job.steps is None or one.job.steps < wanted.steps for one in runs)
    )
