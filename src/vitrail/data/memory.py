"""The memory of decoded images, checked against what this machine or container has free before it is allocated."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

ROOT = Path("/")

# A group's limit, its use, and the reclaimable cache within its use: version 2 of cgroups, then version 1.
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def empty_canvases(count: int, rule: InputRule) -> NDArray[np.uint8]:
    """Uninitialised canvases, uint8 [count, size, size, 3]; of images at their own shapes a list of so many."""
    refuse_too_many(count, rule)
    if rule.is_native:
        return np.empty(count, object)
    try:
        return np.empty((count, rule.size, rule.size, 3), np.uint8)
    except MemoryError as fault:  # a limit such as `ulimit -v`, which is in none of these files
        raise DataError(too_many(count, rule, "more than this process may have")) from fault


def refuse_too_many(count: int, rule: InputRule) -> None:
    """Refuse before allocating: Linux overcommits, and kills the process when the memory is written to."""
    free = free_memory()
    if free is not None and bytes_of(count, rule) > free:
        raise DataError(too_many(count, rule, f"{free / 1e9:,.1f} GB are free"))


def bytes_of(count: int, rule: InputRule) -> int:
    return count * rule.size * (3 * rule.size if rule.width is None else 4 * rule.width)


def too_many(count: int, rule: InputRule, why: str) -> str:
    return (
        f"{count:,} decoded images of {rule.size} × {rule.size} pixels take {bytes_of(count, rule) / 1e9:,.1f} GB of "
        f"memory, {why}: choose a smaller --data.size, or fewer --data.images"
    )


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes that the machine and every enclosing control group leave to this process; None if unknown."""
    limits = [*machine_free(root), *group_free(root)]
    return max(0, min(limits)) if limits else None


def machine_free(root: Path) -> Iterator[int]:
    info = root / "proc/meminfo"
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def group_free(root: Path) -> Iterator[int]:
    membership = root / "proc/self/cgroup"
    if not membership.is_file():
        return
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, names = root / "sys/fs/cgroup", VERSION_2
        elif "memory" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/memory", VERSION_1
        else:
            continue
        own = base / path.lstrip("/")
        # In a container the path may be the host's, with the group itself mounted at the base.
        for group in (own, *own.parents):
            yield from free_in(group, names)
            if group == base:
                break


def free_in(group: Path, names: tuple[str, str, str]) -> Iterator[int]:
    limit, usage, cache = names
    try:
        most = (group / limit).read_text().strip()
        used = int((group / usage).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        if most != "max":
            yield int(most) - used + int(statistics.get(cache, 0))
    except (OSError, ValueError):  # a group that is not mounted here, or has no memory limit
        return
