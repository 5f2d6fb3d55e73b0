"""Which runs failed or are missing."""

from vitrail.training.report.found import Found
from vitrail.training.report.parts import Block, Row, Section, Table
from vitrail.training.report.words import listed, plural


def losses(found: Found) -> Section:
    blocks: list[Block] = []
    if found.unused_seeds:
        seeds = listed([str(seed) for seed in found.unused_seeds])
        blocks.append(f"No run has the planned seed {seeds}: `--until-sure`, or somebody, stopped the study before.")
    if found.lost:
        blocks.append(f"{plural(len(found.lost), 'run is', 'runs are')} not part of any number here.")
        rows = tuple(Row((one.run, one.why)) for one in found.lost)
        blocks.append(Table("Runs without a result", ("Run", "Why"), rows))
    if not blocks:
        blocks.append(f"Nothing: all {plural(len(found.reported) + len(found.trials), 'run')} of the plan are here.")
    return Section("failed", "What failed", tuple(blocks))
