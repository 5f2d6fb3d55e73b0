"""One part in a process of its own, so that a crash costs one step alone, and its end frees the GPU's memory.

`python -m vitrail.bench.gpu.part FD` reads its job as JSON from stdin and writes events, a line of JSON each, to FD.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

from vitrail.bench.gpu.plan import Plan
from vitrail.bench.gpu.steps import Steps

Part = Callable[[Plan, Steps, Path], None]


def part_named(name: str) -> Part:
    """`measure` of the part's module, imported here: only the part that runs needs what it imports."""
    module = {"tests": "own_tests"}.get(name, name)
    measure: Part = import_module(f"vitrail.bench.gpu.{module}").measure
    return measure


def main(descriptor: str) -> None:
    job = json.loads(sys.stdin.read())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # stops servers on the way out
    with os.fdopen(int(descriptor), "w") as events:

        def send(event: dict[str, Any]) -> None:
            events.write(json.dumps(event) + "\n")
            events.flush()

        steps = Steps(job["part"], send, monotonic() + job["seconds"], frozenset(job["skip"]))
        try:
            measure = part_named(job["part"])
        except ModuleNotFoundError as fault:
            steps.row(job["part"], "absent", reason=f"{fault.name} is not installed")
        else:
            measure(Plan.from_plain(job["plan"]), steps, Path(job["folder"]))
        send({"event": "done"})


if __name__ == "__main__":
    main(sys.argv[1])
