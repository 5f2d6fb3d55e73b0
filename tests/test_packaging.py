"""Dependencies: the required packages, a floor with its reason for each, and exact versions that satisfy them."""

import re
import subprocess
import tomllib
from importlib.metadata import requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from vitrail.runtime.providers import is_installed

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(text) for text in chain(PROJECT["dependencies"], *EXTRAS.values())]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
VERSIONS = {name.lower().replace("_", "-"): version for name, _, version in (pin.partition("==") for pin in PINS)}


def test_the_frameworks_are_dependencies() -> None:
    names = {requirement.name for requirement in REQUIREMENTS}
    assert {"pytorch-lightning", "timm", "torchvision", "onnxruntime-gpu", "bentoml"} <= names
    assert "lightning" not in names


def test_the_extras_are_complete_and_the_core_needs_two_packages() -> None:
    assert set(EXTRAS) == {
        "cpu",
        "gpu",
        "tensorrt",
        "openvino",
        "nvimgcodec",
        "train",
        "export",
        "serve",
        "data",
        "hf",
        "transformers",
        "ray",
        "grpc",
        "docs",
        "dev",
    }
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {"numpy", "pillow"}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_dependency_has_a_floor(requirement: Requirement) -> None:
    assert any(part.operator == ">=" for part in requirement.specifier)


def test_every_floor_has_its_reason() -> None:
    section = TEXT[TEXT.index("\ndependencies") : TEXT.index("\ndev = ")]
    lines = [line for line in section.splitlines() if re.search(r'"[\w\[\],-]+[><=!]', line)]
    assert len(lines) >= 20
    assert not [line for line in lines if not re.search(r"# \S", line)]


@pytest.mark.parametrize("pin", PINS)
def test_constraints_are_exact_and_without_addresses(pin: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_constraints_satisfy_every_dependency(requirement: Requirement) -> None:
    if requirement.name == "onnxruntime":  # its place is taken by onnxruntime-gpu: only one may be installed
        assert requirement.name not in VERSIONS
        return
    name = requirement.name.lower().replace("_", "-")
    assert requirement.specifier.contains(Version(VERSIONS[name]))


@pytest.mark.skipif(is_installed("onnxruntime"), reason="the other wheel of onnxruntime is installed")
def test_constraints_pin_the_dependencies_of_the_gpu_extra() -> None:
    """CUDA's libraries at versions that onnxruntime requires: torch depends on most of them, but not all."""
    (gpu,) = (each for each in map(Requirement, EXTRAS["gpu"]) if each.name == "onnxruntime-gpu")
    assert gpu.extras == {"cuda", "cudnn"}
    brought = [
        needed
        for needed in map(Requirement, requires(gpu.name) or [])
        if needed.marker and any(needed.marker.evaluate({"extra": extra}) for extra in gpu.extras)
    ]
    assert {"nvidia-cuda-runtime", "nvidia-cufft", "nvidia-curand", "nvidia-cudnn-cu13"} <= {e.name for e in brought}
    for needed in brought:
        assert needed.specifier.contains(Version(VERSIONS[needed.name]))


def test_torch_and_torchvision_are_the_pair_that_imports() -> None:
    assert (VERSIONS["torch"], VERSIONS["torchvision"]) == ("2.15.0", "0.29.2")


@pytest.mark.parametrize("package", ["training", "serving", "configs"])
def test_packages_at_the_top_are_linked_into_the_package(package: str) -> None:
    link = ROOT / "src/vitrail" / package
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / package
    assert (ROOT / package / "__init__.py").is_file()


def test_an_environment_is_not_committed_even_as_a_link() -> None:
    """With a slash, `.venv/` would only match folders."""
    for name in (".venv", ".peers"):
        checked = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False)
        assert checked.returncode == 0, name
