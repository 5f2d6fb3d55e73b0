"""What kinds of measurement read alike from the command line."""

from pathlib import Path
from typing import Any

from vitrail.errors import UsageError


def require_folder(file: str | None) -> None:
    if file and not Path(file).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {file}")


def sizes(words: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(word) for word in (words if isinstance(words, list) else str(words).split(",")))
    except ValueError as fault:
        raise UsageError(f"several numbers are written with commas between them, not '{words}'") from fault
