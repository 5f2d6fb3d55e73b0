"""Free memory of machines and containers, and the refusal of images that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from vitrail.data import memory
from vitrail.data.memory import empty_canvases, free_memory
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

MIB = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


def group(folder: str, limit: str, used: int, cache: int = 0, version: int = 2) -> dict[str, str]:
    most, usage, reclaimable = memory.VERSION_2 if version == 2 else memory.VERSION_1
    return {
        f"{folder}/{most}": limit,
        f"{folder}/{usage}": str(used),
        f"{folder}/memory.stat": f"anon 1\n{reclaimable} {cache}",
    }


MACHINE = {"proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {1000 * 1024} kB"}
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({}, None),
        (MACHINE, 1000),
        ({**MACHINE, "proc/self/cgroup": "0::/", **group(V2, str(500 * MIB), 300 * MIB)}, 200),
        ({**MACHINE, "proc/self/cgroup": "0::/", **group(V2, str(500 * MIB), 300 * MIB, 250 * MIB)}, 450),
        ({**MACHINE, "proc/self/cgroup": "0::/", **group(V2, "max", 300 * MIB)}, 1000),
        ({**MACHINE, "proc/self/cgroup": "0::/", **group(V2, str(500 * MIB), 501 * MIB)}, 0),
        (  # the group around ours is the tighter one
            {
                **MACHINE,
                "proc/self/cgroup": "0::/pod/box",
                **group(f"{V2}/pod", str(100 * MIB), 10 * MIB),
                **group(f"{V2}/pod/box", str(400 * MIB), 10 * MIB),
            },
            90,
        ),
        ({**MACHINE, "proc/self/cgroup": "3:cpu:/x\n4:memory:/x", **group(f"{V1}/x", str(50 * MIB), 0, version=1)}, 50),
        (  # within a container the path is the host's, and the group is mounted at the base
            {**MACHINE, "proc/self/cgroup": "4:memory:/docker/ab", **group(V1, str(70 * MIB), 0, version=1)},
            70,
        ),
        ({**MACHINE, "proc/self/cgroup": "4:memory:/", **group(V1, str(2**63 - 4096), 0, version=1)}, 1000),
    ],
)
def test_the_tightest_limit_counts(files: dict[str, str], mib: int | None, tmp_path: Path) -> None:
    assert free_memory(write(tmp_path, files)) == (None if mib is None else mib * MIB)


def test_free_memory_of_this_machine_is_known() -> None:
    free = free_memory()
    assert free is None or 0 < free < 2**50


def test_images_that_do_not_fit_are_refused_with_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 3 * 10**9)
    with pytest.raises(DataError) as refused:
        empty_canvases(50_000, InputRule(224))
    assert str(refused.value) == (
        "50,000 decoded images of 224 × 224 pixels take 7.5 GB of memory, 3.0 GB are free: "
        "choose a smaller --data.size, or fewer --data.images"
    )
    assert empty_canvases(2, InputRule(224)).shape == (2, 224, 224, 3)


def test_images_that_fit_exactly_are_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * 8 * 8 * 3)
    assert empty_canvases(2, InputRule(8)).nbytes == 2 * 8 * 8 * 3
    with pytest.raises(DataError, match="take"):
        empty_canvases(3, InputRule(8))


def test_a_failed_allocation_has_the_same_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `ulimit -v`, which no file reports."""

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(DataError, match=r"take 0\.0 GB of memory, more than this process may have: choose a smaller"):
        empty_canvases(1, InputRule(8))
