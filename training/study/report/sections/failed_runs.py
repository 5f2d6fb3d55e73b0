"""Failed and missing runs."""

from vitrail.plots.formatting import count, listed, plural
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.results import StudyResults


def failed_runs(results: StudyResults) -> Section:
    blocks: list[Block] = []
    if results.unused_seeds:
        blocks.append(unused(results))
    if results.missing_runs:
        blocks.append(f"{plural(len(results.missing_runs), 'run is', 'runs are')} left out of all numbers.")
        rows = tuple(Row((one.run, one.reason)) for one in results.missing_runs)
        blocks.append(Table("Runs without a result", ("Run", "Reason"), rows))
    if not blocks:
        blocks.append(f"None: all {plural(len(results.reported) + len(results.trials), 'run')} of the plan finished.")
    return Section("failed", "Failed runs", tuple(blocks))


def unused(results: StudyResults) -> str:
    """The runs saved by stopping early."""
    plan, seeds = results.resolved.plan, results.unused_seeds
    each = len(results.names) * len(results.resolved.sizes)
    return (
        f"The study stopped before the planned {'seed' if len(seeds) == 1 else 'seeds'} "
        f"{listed([str(seed) for seed in seeds])}, by `--until-sure` or an interruption. "
        f"That saved {count(each * len(seeds))} of {count(each * len(plan.seeds))} reported runs."
    )
