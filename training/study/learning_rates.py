"""Learning rates: the best of a few on validation images at some sizes, interpolated between them."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import exp, log

import numpy as np

from vitrail.training.study.jobs import Job, Result

ChosenRates = dict[str, dict[int, float]]  # contender, size, rate


def tuned_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest, the middle and the largest."""
    return tuple(sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}))


def choose(tried: Mapping[Job, Result]) -> ChosenRates:
    """For every contender and tuned size the rate with the lowest validation error, averaged over seeds.

    Small validation sets often tie: then the lower loss decides, and last the lower rate.
    """
    chosen: ChosenRates = {}
    ordered = sorted(tried, key=lambda job: (job.contender, job.size, job.rate, job.seed))
    for (contender, size), jobs in groupby(ordered, key=lambda job: (job.contender, job.size)):
        scores = {
            rate: means(tried[job] for job in of_rate) for rate, of_rate in groupby(jobs, key=lambda job: job.rate)
        }
        chosen.setdefault(contender, {})[size] = min(scores, key=lambda rate: (*scores[rate], rate))
    return chosen


def means(results: Iterable[Result]) -> tuple[float, float]:
    """Mean validation error and loss; infinite if a run diverged."""
    pairs = np.array([(result.val_error, result.val_loss) for result in results])  # [seeds, 2]
    error, loss = np.nan_to_num(pairs.mean(axis=0), nan=np.inf)
    return float(error), float(loss)


def rate_at(size: int, chosen: Mapping[int, float]) -> float:
    """Linear interpolation between tuned sizes, of the logarithm of the rate over the logarithm of the size."""
    if size in chosen:
        return chosen[size]
    sizes = sorted(chosen)
    rate = np.interp(log(size), [log(each) for each in sizes], [log(chosen[each]) for each in sizes])
    return exp(float(rate))
