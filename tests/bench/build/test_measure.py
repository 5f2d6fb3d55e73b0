"""Tests of the comparison of builds with timm's training script: paired differences and equal CPU time."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.bench.build.measure import Plan, mean_difference
from vitrail.bench.build.peer import RATES, epochs_within, is_vit, link_parts
from vitrail.bench.core.command import run
from vitrail.errors import UsageError, VitrailError


@pytest.fixture
def digit_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name in ("a", "b"):
        (root / name).mkdir()
        for index in range(10):
            pixels = np.random.default_rng([index, ord(name)]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_the_interval_is_students_over_pairs() -> None:
    estimate = mean_difference([1.0, 3.0, 2.0, 2.0])
    assert estimate.value == 2.0
    half = 2.3534 * (2 / 3) ** 0.5 / 2  # t of 3 degrees, 95 %
    assert (estimate.low, estimate.high) == pytest.approx((2 - half, 2 + half), abs=1e-4)


def test_the_script_gets_the_epochs_nearest_to_the_cpu_time() -> None:
    assert epochs_within(500, start=10, one=110) == 5
    assert epochs_within(20, start=10, one=110) == 1


def test_the_script_has_the_rate_that_suits_its_network() -> None:
    rates = [RATES[is_vit(network)] for network in ("deit_tiny_patch16_224", "mobilenetv2_100")]
    assert rates == ["1e-4", "1e-3"]


def test_timm_reads_the_same_parts(digit_photos: Path, tmp_path: Path) -> None:
    link_parts(str(digit_photos), 0, tmp_path)
    files = {part: list((tmp_path / part).glob("*/*")) for part in ("train", "val", "test")}
    assert {part: len(found) for part, found in files.items()} == {"train": 12, "val": 4, "test": 4}
    originals = {file.resolve() for found in files.values() for file in found}
    assert len(originals) == 20
    assert all(file.resolve().parent.name == file.parent.name for found in files.values() for file in found)


def test_the_cost_counts_child_processes(tmp_path: Path) -> None:
    inner = "import time; a = time.process_time()\nwhile time.process_time() - a < 0.5: pass"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    cost = run([sys.executable, "-c", outer], tmp_path / "log")
    assert cost.cpu_seconds >= 0.5
    with pytest.raises(VitrailError, match=r"failed: .*no good"):
        run([sys.executable, "-c", "raise SystemExit('no good')"], tmp_path / "log")


def test_a_plan_without_pairs_or_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two seeds or more"):
        Plan((str(tmp_path),), str(tmp_path), str(tmp_path), seeds=1)
    with pytest.raises(UsageError, match="there is nothing at"):
        Plan((str(tmp_path / "images"),), str(tmp_path), str(tmp_path))
