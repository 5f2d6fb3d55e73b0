"""The folder of one server: the engine's socket, and the files of metrics."""

import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "vitrail-"  # and the number of the process; those of processes that were killed are removed at the next start


def own_folder() -> Path:
    """A new folder that only this user may read; those of servers that were killed are removed."""
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and folder.stat().st_uid == os.getuid() and not is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
