"""The learning rates that were tried and chosen."""

from vitrail.plots.formatting import count, listed, percent, rate
from vitrail.training.study.jobs import FinishedRun
from vitrail.training.study.learning_rates import best as best_of
from vitrail.training.study.learning_rates import beyond, choose, scores_by_rate
from vitrail.training.study.report.blocks import Block, Cell, Link, Row, Section, Table
from vitrail.training.study.report.results import StudyResults


def learning_rates(results: StudyResults) -> Section:
    if not results.trials:
        given = listed([f"{rate(one.rate)} ({one.name})" for one in results.resolved.contenders])
        return Section("learning-rates", "Learning rates", (f"Learning rates were given, not tuned: {given}.",))
    plan = results.resolved.plan
    note = (
        f"Chosen on validation images, with seeds that are not reported ({listed(list(map(str, plan.rate_seeds)))}); "
        "longer runs may take a lower one (below), interpolated between these sizes. Errors link to their runs."
    )
    blocks: list[Block] = [note]
    for name in results.names:
        trials = shortest([done for done in results.trials if done.job.contender == name])
        if trials:
            blocks += [table(name, trials), *edge(name, trials)]
    return Section("learning-rates", "Learning rates", tuple(blocks))


def shortest(trials: list[FinishedRun]) -> list[FinishedRun]:
    """Those that every rate was tried with; longer ones have few."""
    steps = min((done.job.steps or 0 for done in trials), default=0)
    return [done for done in trials if (done.job.steps or 0) == steps]


def best(name: str, trials: list[FinishedRun]) -> dict[int, float]:
    """At every tuned size."""
    return choose({done.job: done.result for done in trials if done.result})[name]


def table(name: str, trials: list[FinishedRun]) -> Table:
    chosen, tried = best(name, trials), rates_of(trials)
    head = ("Images", "Chosen", *(f"with {rate(value)}" for value in tried))
    rows = [
        Row((count(size), rate(chosen[size]), *(errors(trials, size, value) for value in tried)))
        for size in sorted(chosen)
    ]
    return Table(f"{name}: validation error by learning rate", head, tuple(rows))


def rates_of(trials: list[FinishedRun]) -> list[float]:
    return sorted({done.job.rate for done in trials})


def edge(name: str, trials: list[FinishedRun]) -> list[str]:
    """Notes where the chosen rate is the lowest or the highest tried, so that a better one may lie outside."""
    by_size = scores_by_rate({done.job: done.result for done in trials if done.result})[name]
    notes = []
    for extreme, end in (("lowest", min), ("highest", max)):
        sizes = [
            count(size)
            for size, scores in by_size.items()
            if beyond(scores) is not None and best_of(scores) == end(scores)
        ]
        if sizes:
            notes.append(
                f"With {listed(sizes)} images, the best rate of {name} is the {extreme} that was tried; one beyond it "
                "may be better."
            )
    return notes


def errors(trials: list[FinishedRun], size: int, value: float) -> Cell:
    """Of every seed with this rate."""
    runs = [done for done in trials if (done.job.size, done.job.rate) == (size, value)]
    return tuple(Link(percent(done.result.val_error), done.job.name, on_page=False) for done in runs if done.result)
