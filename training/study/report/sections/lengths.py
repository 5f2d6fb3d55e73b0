"""How long runs are: what twice the steps gained on validation images, and the length that was taken."""

from vitrail.plots.formatting import count, listed, percent, plural, rate
from vitrail.training.study.learning_rates import Scores, best
from vitrail.training.study.lengths import length_at, scores_by_steps
from vitrail.training.study.report.blocks import Row, Section, Table
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.findings import Contender


def lengths(results: StudyResults) -> Section:
    plan = results.resolved.plan
    if plan.mode != "trained-out":
        return Section("lengths", "Length of runs", (as_planned(results),))
    note = (
        "Doubled, on validation images and with seeds that are not reported "
        f"({listed(list(map(str, plan.rate_seeds)))}), until twice the steps lower neither the error nor, where it "
        f"does not rise, the loss by more than {percent(plan.tolerance)} of it, with the same learning rate or the "
        "next lower one: such runs are trained out. Others are limited by their budget: they are drawn hollow, and "
        "take no part in curves and forecasts. Between these sizes steps and rates are interpolated. "
        f"The first column is that of equal steps, {count(plan.steps)} for every run."
    )
    tables = [table(results, one) for one in results.forecast.contenders if one.name in results.lengths]
    return Section("lengths", "Length of runs", (note, *tables))


def as_planned(results: StudyResults) -> str:
    plan = results.resolved.plan
    if plan.mode == "equal-steps":
        return (
            f"Every run has {plural(plan.steps, 'step')}, as planned. Whether more steps would be better was not "
            "measured: these results are those of this many steps, not of the images alone."
        )
    return (
        f"A run ends once its validation loss has not fallen for {plural(plan.patience, 'epoch')}, or after "
        f"{plural(plan.epochs, 'epoch')}."
    )


def table(results: StudyResults, contender: Contender) -> Table:
    """Validation errors by steps at the tuned sizes, and the length at every size."""
    tried = {done.job: done.result for done in results.trials if done.result and done.job.contender == contender.name}
    known, unit = results.lengths[contender.name], results.resolved.plan.validations
    errors = {size: scores_by_steps(tried, contender.name, size) for size in known}
    columns = sorted({steps for by_steps in errors.values() for steps in by_steps})
    rows = [
        Row(
            (
                count(size),
                *(cell(errors.get(size, {}).get(steps, {}), by_rate=steps > columns[0]) for steps in columns),
                count((length := length_at(size, known, unit)).steps),
                rate(length.rate),
                limits(contender, size),
            )
        )
        for size in results.resolved.sizes
    ]
    head = ("Images", *(f"{count(steps)} steps" for steps in columns), "Steps of a run", "Rate", "Trained out")
    return Table(f"{contender.name}: validation error by length", head, tuple(rows))


def cell(scores: Scores, *, by_rate: bool) -> str:
    """The error with each rate; of the shortest runs, whose rates have a table of their own, with the best."""
    if not scores:
        return ""
    if not by_rate:
        return percent(scores[best(scores)].error)
    return listed([f"{percent(one.error)} ({rate(value)})" for value, one in sorted(scores.items(), reverse=True)])


def limits(contender: Contender, size: int) -> str:
    point = next((one for one in contender.points if one.images == size), None)
    return "–" if point is None else "limited by budget" if point.limited else "yes"
