"""A disk that fills while a run is at work: one line that names the file and says how the run goes on."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrail.atomic import FULL
from vitrail.errors import VitrailError

WRITER = "tensorboard."  # raises what ended its thread once more in the thread that trains


class DiskFull(VitrailError):
    """What was written before is whole, and the run can go on from it."""


@contextmanager
def one_line_if_full(run: Path, command: str) -> Iterator[None]:
    """`command` goes on with the run; loggers may raise another error in place of the disk's."""
    hook = threading.excepthook

    def silent_if_full(args: threading.ExceptHookArgs) -> None:
        if not (type(args.thread).__module__.startswith(WRITER) and full_disk(args.exc_value)):
            hook(args)

    threading.excepthook = silent_if_full
    try:
        yield
    except Exception as fault:
        if (full := full_disk(fault)) is None:
            raise
        where = f"{os.strerror(full.errno or 0)}: {full.filename or run}"
        raise DiskFull(f"{where}; once there is room, this goes on: {command}") from fault
    finally:
        threading.excepthook = hook


def full_disk(fault: BaseException | None) -> OSError | None:
    """The error of the disk, if it is this one or led to it."""
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in FULL:
            return fault
        fault = fault.__cause__ or fault.__context__
    return None
