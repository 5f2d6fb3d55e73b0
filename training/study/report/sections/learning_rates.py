"""Which learning rates were tried, and which were chosen."""

from vitrail.training.study.jobs import Done
from vitrail.training.study.learning_rates import choose
from vitrail.training.study.report.blocks import Block, Cell, Link, Row, Section, Table
from vitrail.training.study.report.formatting import count, listed, percent, rate
from vitrail.training.study.report.results import Found


def rates(found: Found) -> Section:
    if not found.trials:
        given = listed([f"{rate(one.rate)} ({one.name})" for one in found.settled.contenders])
        return Section("rates", "Learning rates", (f"Learning rates were not tried but given: {given}.",))
    plan = found.settled.plan
    said = (
        f"Chosen on validation images, with seeds that are not reported ({listed(list(map(str, plan.rate_seeds)))}); "
        "between these sizes, rates are interpolated. Errors lead to their runs."
    )
    blocks: list[Block] = [said]
    for name in found.names:
        trials = [done for done in found.trials if done.job.contender == name]
        if trials:
            blocks += [table(name, trials), *edge(name, trials)]
    return Section("rates", "Learning rates", tuple(blocks))


def best(name: str, trials: list[Done]) -> dict[int, float]:
    """At every tuned size."""
    return choose({done.job: done.result for done in trials if done.result})[name]


def table(name: str, trials: list[Done]) -> Table:
    chosen, tried = best(name, trials), rates_of(trials)
    head = ("Images", "Chosen", *(f"with {rate(value)}" for value in tried))
    rows = [
        Row((count(size), rate(chosen[size]), *(errors(trials, size, value) for value in tried)))
        for size in sorted(chosen)
    ]
    return Table(f"{name}: validation error with every rate", head, tuple(rows))


def rates_of(trials: list[Done]) -> list[float]:
    return sorted({done.job.rate for done in trials})


def edge(name: str, trials: list[Done]) -> list[str]:
    """Whoever is best at the end of what was tried may be better beyond it: that is not to be kept back."""
    chosen, tried = best(name, trials), rates_of(trials)
    told = []
    for end, word in ((tried[0], "lowest"), (tried[-1], "highest")):
        sizes = [count(size) for size in sorted(chosen) if chosen[size] == end]
        if sizes and len(tried) > 1:
            told.append(
                f"With {listed(sizes)} images {name} learns best with the {word} rate that was tried; one beyond it "
                "might serve it better."
            )
    return told


def errors(trials: list[Done], size: int, value: float) -> Cell:
    """Of every seed that tried this rate."""
    runs = [done for done in trials if (done.job.size, done.job.rate) == (size, value)]
    return tuple(Link(percent(done.result.val_error), done.job.name, on_page=False) for done in runs if done.result)
