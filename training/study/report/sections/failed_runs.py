"""Which runs failed or are missing."""

from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.formatting import count, listed, plural
from vitrail.training.study.report.results import Found


def losses(found: Found) -> Section:
    blocks: list[Block] = []
    if found.unused_seeds:
        blocks.append(unused(found))
    if found.lost:
        blocks.append(f"{plural(len(found.lost), 'run is', 'runs are')} not part of any number here.")
        rows = tuple(Row((one.run, one.why)) for one in found.lost)
        blocks.append(Table("Runs without a result", ("Run", "Why"), rows))
    if not blocks:
        blocks.append(f"Nothing: all {plural(len(found.reported) + len(found.trials), 'run')} of the plan are here.")
    return Section("failed", "What failed", tuple(blocks))


def unused(found: Found) -> str:
    """What stopping early has saved."""
    plan, seeds = found.settled.plan, found.unused_seeds
    each = len(found.names) * len(found.settled.sizes)
    return (
        f"No run has the planned {'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in seeds])}: "
        f"`--until-sure`, or somebody, stopped the study before. That saved {count(each * len(seeds))} of "
        f"{count(each * len(plan.seeds))} reported runs."
    )
