"""Many damaged images: each raises an ImageError or gives a canvas, quickly, and no memory is kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "fuzzed.py"


def decode_many(runs: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(PROGRAM), str(runs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_five_hundred_damaged_images() -> None:
    report = decode_many(1)
    assert sum(report["results"].values()) >= 500
    assert set(report["results"]) == {"decoded", "CorruptImage", "UnsupportedFormat", "ImageTooLarge"}


@pytest.mark.long
def test_a_hundred_thousand_damaged_images_keep_no_memory() -> None:
    report = decode_many(201)
    assert sum(report["results"].values()) >= 100_000
    assert report["last"] - report["first"] < 64e6
