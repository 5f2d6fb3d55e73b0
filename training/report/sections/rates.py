"""Which learning rates were tried, and which were chosen."""

from vitrail.training.report.found import Found
from vitrail.training.report.parts import Cell, Link, Row, Section, Table
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
        "between these sizes, rates are interpolated. Errors lead to their runs."
    )
    return Section("rates", "Learning rates", (said, *(table(found, name) for name in found.names)))


def table(found: Found, name: str) -> Table:
    trials = [done for done in found.trials if done.job.contender == name]
    chosen = choose({done.job: done.result for done in trials if done.result}).get(name, {})
    tried = sorted({done.job.rate for done in trials})
    head = ("Pictures", "Chosen", *(f"with {rate(value)}" for value in tried))
    rows = [
        Row((count(size), rate(chosen[size]), *(errors(trials, size, value) for value in tried)))
        for size in sorted(chosen)
    ]
    return Table(f"{name}: validation error with every rate", head, tuple(rows))


def errors(trials: list[Done], size: int, value: float) -> Cell:
    """Of every seed that tried this rate."""
    runs = [done for done in trials if (done.job.size, done.job.rate) == (size, value)]
    return tuple(Link(percent(done.result.val_error), done.job.name, on_page=False) for done in runs if done.result)
