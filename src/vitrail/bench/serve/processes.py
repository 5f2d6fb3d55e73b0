"""Resources of a server and all its descendants, as Linux counts them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True)
class ResourceUsage:
    """Resources of a process tree at one moment."""

    memory: int  # bytes; shared pages are divided among their processes (PSS)
    files: int
    threads: int
    processes: int


def process_tree(root: int) -> list[int]:
    """The root and its descendants, including those in other groups and sessions."""
    parents = {int(each.name): parent_of(each) for each in PROC.iterdir() if each.name.isdigit()}
    tree = [root]
    for one in tree:  # grows while it is walked
        tree += [child for child, parent in parents.items() if parent == one]
    return tree


def parent_of(process: Path) -> int | None:
    fields = stat_of(process)
    return int(fields[1]) if fields else None


def stat_of(process: Path) -> list[str]:
    """The fields after the name, which may contain blanks and brackets; none once the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(processes: Iterable[int]) -> float:
    """CPU time of these processes and of their reaped children."""
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
    """Bytes of memory that the root's descendants use, with shared pages counted in each: cheap to read."""
    return sum(resident_pages(PROC / str(one)) for one in process_tree(root)[1:]) * PAGE


def resident_pages(process: Path) -> int:
    try:
        return int((process / "statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def share_of_memory(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
