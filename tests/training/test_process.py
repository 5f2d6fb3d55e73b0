"""A process that trains keeps the memory of a step for the next, and gives it back when asked."""

import os
import subprocess
import sys
from pathlib import Path

from vitrail.training.process import return_free_memory

# Each turn fills 200 MB in blocks of 10 MB and frees them, as a step does with its activations.
TURNS = """
import ctypes, resource, sys
from vitrail.training.process import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()

def turn():
    blocks = [bytearray(b"1") * 10_000_000 for _ in range(20)]
    del blocks

for _ in range(5):
    turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_a_step_is_not_cleared_again_for_the_next() -> None:
    assert page_faults("kept") < 0.01 * page_faults("left alone")


def page_faults(how: str) -> int:
    """In five turns, after five."""
    made = subprocess.run([sys.executable, "-c", TURNS, how], capture_output=True, text=True, check=True)
    return int(made.stdout)


def test_freed_memory_goes_back_although_something_above_it_is_in_use() -> None:
    blocks = [bytes([1]) * 2000 for _ in range(50_000)]
    full = resident()
    del blocks[:-1]
    return_free_memory()
    assert resident() < full - 80_000_000


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
