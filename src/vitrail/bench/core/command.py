"""A command in a process of its own, with the CPU time of all that it started."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from vitrail.errors import VitrailError

POLL = 0.5  # seconds
LAST_LINES = 3


@dataclass(frozen=True)
class Cost:
    """Seconds of one command."""

    seconds: float
    cpu_seconds: float


def run(command: Sequence[str], log: Path, watch: Callable[[float], None] = lambda seconds: None) -> Cost:
    """Run the command to its end; `watch` is called twice a second with the seconds so far."""
    begin = perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            watch(perf_counter() - begin)
            sleep(POLL)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise VitrailError(f"{command[1]} failed: {' / '.join(lines[-LAST_LINES:])}")
    return Cost(perf_counter() - begin, usage.ru_utime + usage.ru_stime)
