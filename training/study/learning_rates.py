"""Learning rates: the best of a few on validation images at some sizes, interpolated between them.

Where the best is the lowest or the highest that was tried, the next one beyond it is tried, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from math import exp, log

import numpy as np

from vitrail.training.study.jobs import Job, Result

ChosenRates = dict[str, dict[int, float]]  # contender, size, rate
WIDEST = 4  # rates beyond the given ones


def tuned_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest, the middle and the largest."""
    return tuple(sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}))


def choose(tried: Mapping[Job, Result]) -> ChosenRates:
    """For every contender and tuned size the rate with the lowest validation error, averaged over seeds.

    Only the shortest runs are compared, which were made with every rate. Small validation sets often tie: then the
    lower loss decides, and last the lower rate.
    """
    return {
        contender: {size: best(scores) for size, scores in by_size.items()}
        for contender, by_size in scores_by_rate(tried).items()
    }


Scores = dict[float, tuple[float, float]]  # by rate


def scores_by_rate(tried: Mapping[Job, Result]) -> dict[str, dict[int, Scores]]:
    shortest = min((job.steps or 0 for job in tried), default=0)
    scores: dict[str, dict[int, Scores]] = {}
    ordered = sorted(
        (job for job in tried if (job.steps or 0) == shortest),
        key=lambda job: (job.contender, job.size, job.rate, job.seed),
    )
    for (contender, size, rate), jobs in groupby(ordered, key=lambda job: (job.contender, job.size, job.rate)):
        scores.setdefault(contender, {}).setdefault(size, {})[rate] = means(tried[job] for job in jobs)
    return scores


def best(scores: Scores) -> float:
    return min(scores, key=lambda rate: (*scores[rate], rate))


def means(results: Iterable[Result]) -> tuple[float, float]:
    """Mean validation error and loss; infinite if a run diverged."""
    pairs = np.array([(result.val_error, result.val_loss) for result in results])  # [seeds, 2]
    error, loss = np.nan_to_num(pairs.mean(axis=0), nan=np.inf)
    return float(error), float(loss)


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
    return chosen**2 / neighbour if scores[chosen][0] < scores[neighbour][0] else None


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
