"""Damaged images by the thousand: an error of its class or a canvas, soon, and no memory kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzzed.py"


def decode_many(runs: int) -> dict:
    done = subprocess.run([sys.executable, str(PROGRAM), str(runs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_two_thousand_damaged_images() -> None:
    said = decode_many(1)
    assert sum(said["found"].values()) >= 2_000
    assert set(said["found"]) == {"decoded", "CorruptImage", "UnsupportedFormat", "ImageTooLarge"}


@pytest.mark.long
def test_a_hundred_thousand_damaged_images_keep_no_memory() -> None:
    said = decode_many(52)
    assert sum(said["found"].values()) >= 100_000
    assert said["last"] - said["first"] < 64e6
