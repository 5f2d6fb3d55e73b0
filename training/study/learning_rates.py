"""Learning rates: the best of a few on validation images at some sizes, interpolated between them.

Where the best is the lowest or the highest that was tried, the next one beyond it is tried, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from math import exp, log, sqrt

import numpy as np

from vitrail.training.study.jobs import Job, Result

ChosenRates = dict[str, dict[int, float]]  # contender, size, rate
WIDEST = 4  # rates beyond the given ones


def tuned_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest, the middle and the largest."""
    return tuple(sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}))


@dataclass(frozen=True)
class Score:
    """On validation images, averaged over seeds; infinite if a run diverged."""

    error: float
    loss: float
    noise: float = 0.0  # standard error of the error


def choose(tried: Mapping[Job, Result]) -> ChosenRates:
    """For every contender and tuned size the best rate, of those that the shortest runs were made with."""
    return {
        contender: {size: best(scores) for size, scores in by_size.items()}
        for contender, by_size in scores_by_rate(tried).items()
    }


Scores = dict[float, Score]  # by rate, or by steps


def scores_by_rate(tried: Mapping[Job, Result]) -> dict[str, dict[int, Scores]]:
    shortest = min((job.steps or 0 for job in tried), default=0)
    scores: dict[str, dict[int, Scores]] = {}
    ordered = sorted(
        (job for job in tried if (job.steps or 0) == shortest),
        key=lambda job: (job.contender, job.size, job.rate, job.seed),
    )
    for (contender, size, rate), jobs in groupby(ordered, key=lambda job: (job.contender, job.size, job.rate)):
        scores.setdefault(contender, {}).setdefault(size, {})[rate] = score(tried[job] for job in jobs)
    return scores


def best(scores: Scores) -> float:
    """The rate with the lowest loss, of those whose error is within a standard error of the lowest.

    Small validation sets make errors coarse: one image more is no reason for another rate. Last the lower one wins.
    """
    lowest = min(scores.values(), key=lambda one: one.error)
    near = [rate for rate, one in scores.items() if one.error <= lowest.error + lowest.noise]
    return min(near, key=lambda rate: (scores[rate].loss, scores[rate].error, rate))


def score(results: Iterable[Result]) -> Score:
    runs = list(results)
    pairs = np.array([(one.val_error, one.val_loss) for one in runs])  # [seeds, 2]
    error, loss = np.nan_to_num(pairs.mean(axis=0), nan=np.inf)
    if not np.isfinite([error, loss]).all():
        return Score(float("inf"), float("inf"))
    images = sum(one.val_images for one in runs)
    share = (error * images + 0.5) / (images + 1)
    return Score(float(error), float(loss), sqrt(share * (1 - share) / images))


def wider(tried: Mapping[Job, Result], given: int) -> list[Job]:
    """The trials of a next rate where the best one is at the edge of those that were tried; `given` were planned."""
    jobs: list[Job] = []
    for contender, by_size in scores_by_rate(tried).items():
        for size, scores in by_size.items():
            rate = beyond(scores) if len(scores) < given + WIDEST else None
            if rate is not None:
                alike = [job for job in tried if (job.contender, job.size, job.rate) == (contender, size, best(scores))]
                shortest = min(job.steps or 0 for job in alike)
                jobs += [replace(job, rate=rate) for job in alike if (job.steps or 0) == shortest]
    return jobs


def beyond(scores: Scores) -> float | None:
    """The rate to try next, as far from the best as its neighbour; None where the best has a neighbour on both sides.

    A best rate that is only as good as its neighbour is no reason to go on.
    """
    rates, chosen = sorted(scores), best(scores)
    if len(rates) < 2 or chosen not in (rates[0], rates[-1]):
        return None
    neighbour = rates[1] if chosen == rates[0] else rates[-2]
    alike = (scores[chosen].error, scores[chosen].loss) == (scores[neighbour].error, scores[neighbour].loss)
    return None if alike else chosen**2 / neighbour


def lower(rate: float, tried: Iterable[float]) -> float | None:
    """The next rate below one that was tried, as far from it as its neighbour; None where no other was."""
    rates = sorted({*tried, rate})
    if len(rates) < 2:
        return None
    at = rates.index(rate)
    return rates[at - 1] if at else rate**2 / rates[1]


def rate_at(size: int, chosen: Mapping[int, float]) -> float:
    """Linear interpolation between tuned sizes, of the logarithm of the rate over the logarithm of the size."""
    return between(size, chosen)


def between(size: int, values: Mapping[int, float]) -> float:
    """Linear interpolation of the logarithm of values over the logarithm of sizes."""
    if size in values:
        return values[size]
    sizes = sorted(values)
    value = np.interp(log(size), [log(each) for each in sizes], [log(values[each]) for each in sizes])
    return exp(float(value))
