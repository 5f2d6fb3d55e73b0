"""The processor's name and the versions of packages."""

import platform
from importlib.metadata import version
from pathlib import Path

from vitrail.runtime.machine import cpu_name, installed_versions


def test_cpu_name_includes_vector_extensions(tmp_path: Path) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx2 avx512f\n\n")
    assert cpu_name(described) == "Some CPU @ 2 GHz (avx2, avx512f)"


def test_a_cpu_without_a_description_has_its_architecture(tmp_path: Path) -> None:
    assert cpu_name(tmp_path / "nowhere") in (platform.processor(), platform.machine())
    (tmp_path / "cpuinfo").write_text("processor : 0\nBogoMIPS : 50\n")
    assert cpu_name(tmp_path / "cpuinfo") == platform.machine()


def test_packages_that_are_not_installed_have_no_version() -> None:
    versions = installed_versions(("torch", "pytorch-lightning", "no-such-package"))
    assert versions == {
        "python": platform.python_version(),
        "torch": version("torch"),
        "pytorch-lightning": version("pytorch-lightning"),
    }
