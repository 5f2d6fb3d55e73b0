"""Measures the peak memory of decoding, file by file in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .files import encoded

MEASURE = """
import ctypes, json, re, sys
from pathlib import Path
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit

def resident(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

rule = InputRule(64, sys.argv[2])
files = sorted(Path(sys.argv[1]).iterdir())
for file in files:
    if file.name.startswith("small"):
        fit(file.read_bytes(), rule)
peaks = {}
for file in files:
    data = file.read_bytes()
    ctypes.CDLL(None).malloc_trim(0)  # so that freed memory of the previous file is not reused
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    fit(data, rule)
    peaks[file.name] = resident("VmHWM") - before
print(json.dumps(peaks))
"""


linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux reports a process's peak memory"
)


def measured_peaks(files: dict[str, bytes], resize: str, folder: Path) -> dict[str, int]:
    """The most by which a process's resident memory grows while it decodes each file."""
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        (folder / f"small {kind}").write_bytes(encoded("RGB", kind, (300, 300)))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), resize], capture_output=True, text=True, check=True
    )
    peaks: dict[str, int] = json.loads(done.stdout)
    return {name: peaks[name] for name in files}
