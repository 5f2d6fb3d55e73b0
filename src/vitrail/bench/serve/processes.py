"""What a server and all processes below it hold and have used, as Linux counts it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True)
class ResourceUsage:
    """What a family of processes holds at one moment, summed over its members."""

    memory: int  # bytes, each shared page divided among those who share it (PSS)
    files: int
    threads: int
    processes: int


def process_tree(root: int) -> list[int]:
    """The root and all who descend from it, groups and sessions of their own notwithstanding."""
    parents = {int(each.name): parent_of(each) for each in PROC.iterdir() if each.name.isdigit()}
    found = [root]
    for one in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == one]
    return found


def parent_of(process: Path) -> int | None:
    fields = stat_of(process)
    return int(fields[1]) if fields else None


def stat_of(process: Path) -> list[str]:
    """The fields after the name, which may itself have blanks and brackets; none where the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(processes: Iterable[int]) -> float:
    """What these have computed, and the children that they have seen end."""
    fields = (stat_of(PROC / str(one)) for one in processes)
    return sum(sum(map(int, each[11:15])) for each in fields if each) / TICKS


def resource_usage(root: int) -> ResourceUsage:
    folders = [PROC / str(one) for one in process_tree(root)]
    return ResourceUsage(
        memory=sum(share_of_memory(each) for each in folders),
        files=sum(len(os.listdir(each / "fd")) for each in folders),
        threads=sum(len(os.listdir(each / "task")) for each in folders),
        processes=len(folders),
    )


def resident_bytes(root: int) -> int:
    """Bytes of memory that the root's descendants have in use, shared pages with each: cheap enough to ask often."""
    return sum(resident_pages(PROC / str(one)) for one in process_tree(root)[1:]) * PAGE


def resident_pages(process: Path) -> int:
    try:
        return int((process / "statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def share_of_memory(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
