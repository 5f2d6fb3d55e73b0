"""Which learning rates were tried, and which were chosen."""

from itertools import groupby
from statistics import fmean

from vitrail.training.report.found import Found
from vitrail.training.report.parts import Link, Row, Section, Table
from vitrail.training.report.words import count, listed, percent, rate
from vitrail.training.study.jobs import Done
from vitrail.training.study.rates import choose


def rates(found: Found) -> Section:
    if not found.trials:
        given = listed([f"{rate(one.rate)} ({one.name})" for one in found.settled.contenders])
        return Section("rates", "Learning rates", (f"Learning rates were not tried but given: {given}.",))
    plan = found.settled.plan
    said = (
        f"Chosen on validation pictures, with seeds that are not reported ({listed(list(map(str, plan.rate_seeds)))}); "
        "between these sizes, rates are interpolated. Seeds lead to their runs."
    )
    return Section("rates", "Learning rates", (said, *(table(found, name) for name in found.names)))


def table(found: Found, name: str) -> Table:
    trials = [done for done in found.trials if done.job.contender == name]
    chosen = choose({done.job: done.result for done in trials if done.result}).get(name, {})
    head = ("Pictures", "Rate", "Validation error", "Choice", "Seeds")
    rows = [
        trial_row(size, value, chosen.get(size) == value, list(runs))
        for (size, value), runs in groupby(trials, key=lambda done: (done.job.size, done.job.rate))
    ]
    return Table(name, head, tuple(rows))


def trial_row(size: int, value: float, taken: bool, runs: list[Done]) -> Row:
    error = fmean(done.result.val_error for done in runs if done.result)
    seeds = tuple(Link(str(done.job.seed), done.job.name) for done in runs)
    return Row((count(size), rate(value), percent(error), "chosen" if taken else "", seeds))
