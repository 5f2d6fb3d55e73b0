"""Atomic writes: files are written under a temporary name, then moved into place."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, and what a user may have of it


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; it replaces `path` at the end of the block, or is removed after an error."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    except OSError as fault:
        if fault.errno in FULL:  # which libraries report of no file, or of one of their own
            raise OSError(fault.errno, os.strerror(fault.errno), str(path)) from fault
        raise
    finally:
        draft.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        draft.write_bytes(content)
