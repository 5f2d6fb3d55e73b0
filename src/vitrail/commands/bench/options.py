"""What the benchmarks share: parsing options, writing the report, and stopping servers."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vitrail.atomic import write_atomically
from vitrail.errors import UsageError


def write_report(report: Any, file: str | None) -> None:
    """Write the report as JSON, complete even if this process is killed while it replaces an earlier one."""
    if file:
        write_atomically(Path(file), (json.dumps(asdict(report), indent=1) + "\n").encode())


def require_folder(file: str | None) -> None:
    if file and not Path(file).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {file}")


def sizes(value: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(size) for size in (value if isinstance(value, list) else str(value).split(",")))
    except ValueError as fault:
        raise UsageError(f"several numbers are written with commas between them, not '{value}'") from fault


def stop_servers_on_sigterm() -> None:
    """Servers run in sessions of their own, so SIGTERM would leave them behind unless this process exits cleanly."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
