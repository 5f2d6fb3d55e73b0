"""The load of other programs."""

import os
from pathlib import Path

import pytest

from vitrail.bench.core.machine import CpuUsage, background_load, cpu_usage


def test_background_load_excludes_this_process(tmp_path: Path) -> None:
    assert background_load(CpuUsage(100, 10, 0), CpuUsage(130, 25, 10)) == pytest.approx(1.5)
    assert background_load(CpuUsage(100, 10, 0), CpuUsage(110, 20.5, 10)) == 0  # its ticks are coarser than our clock
    assert background_load(CpuUsage(None, 10, 0), CpuUsage(None, 25, 10)) is None
    counted = tmp_path / "stat"
    counted.write_text("cpu  100 20 30 9999 999 4 5 6 50 0\ncpu0 1 2 3\n")
    system = cpu_usage(counted).system
    assert system == pytest.approx((100 + 20 + 30 + 4 + 5 + 6) / os.sysconf("SC_CLK_TCK"))
