"""What the statistics need of a study: which test images every reported run got wrong."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from vitrail.training.study.jobs import Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.store import wrong_answers


def outcomes_of(settled: ResolvedPlan, folder: Path, reported: Collection[Job]) -> Outcomes:
    """Of all finished runs; a seed without any is left out, other runs that are missing are marked."""
    seeds = tuple(seed for seed in settled.plan.seeds if any(job.seed == seed for job in reported))
    names = tuple(contender.name for contender in settled.contenders)
    jobs = {(job.contender, job.size, job.seed): job for job in reported}
    answers = {place: wrong_answers(folder, job) for place, job in jobs.items()}
    images = len(next(iter(answers.values()), ()))
    shape = (len(names), len(settled.sizes), len(seeds))
    wrong, done = np.zeros((*shape, images), np.bool_), np.zeros(shape, np.bool_)
    for index in np.ndindex(shape):
        contender, size, seed = index
        place = (names[contender], settled.sizes[size], seeds[seed])
        if place in answers:
            wrong[index], done[index] = answers[place], True
    return Outcomes(names, settled.sizes, seeds, wrong, done)
