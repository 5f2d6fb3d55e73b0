"""The machine's description, versions, and the load of other programs."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from vitrail.bench.core.machine import CpuUsage, background_load, cpu_name, cpu_usage, installed_versions


def test_cpu_name_includes_vector_extensions(tmp_path: Path) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx2 avx512f\n\n")
    assert cpu_name(described) == "Some CPU @ 2 GHz (avx2, avx512f)"


def test_packages_that_are_not_installed_have_no_version() -> None:
    versions = installed_versions(("torch", "no-such-package"))
    assert versions["torch"] == version("torch")
    assert versions.keys() == {"python", "torch"}


def test_background_load_excludes_this_process(tmp_path: Path) -> None:
    assert background_load(CpuUsage(100, 10, 0), CpuUsage(130, 25, 10)) == pytest.approx(1.5)
    assert background_load(CpuUsage(100, 10, 0), CpuUsage(110, 20.5, 10)) == 0  # its ticks are coarser than our clock
    assert background_load(CpuUsage(None, 10, 0), CpuUsage(None, 25, 10)) is None
    counted = tmp_path / "stat"
    counted.write_text("cpu  100 20 30 9999 999 4 5 6 50 0\ncpu0 1 2 3\n")
    system = cpu_usage(counted).system
    assert system == pytest.approx((100 + 20 + 30 + 4 + 5 + 6) / os.sysconf("SC_CLK_TCK"))
