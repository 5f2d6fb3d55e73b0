"""What kinds of measurement share: how options are read, and how they end."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vitrail.errors import UsageError


def write_report(report: Any, file: str | None) -> None:
    """Everything that was measured, as JSON."""
    if file:
        Path(file).write_text(json.dumps(asdict(report), indent=1) + "\n")


def require_folder(file: str | None) -> None:
    if file and not Path(file).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {file}")


def sizes(words: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(word) for word in (words if isinstance(words, list) else str(words).split(",")))
    except ValueError as fault:
        raise UsageError(f"several numbers are written with commas between them, not '{words}'") from fault


def stop_servers_on_sigterm() -> None:
    """Servers have sessions of their own, so nobody but us ends them; SIGTERM alone would leave them behind."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
