"""Real servers on free loopback ports, each in a process of its own."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

# PROCESSES=2 pytest tests/serving runs every test of a server with as many processes that answer.
PROCESSES = {"VITRAIL_PROCESSES": os.environ.get("PROCESSES", "1")}

# HAND_OVER=1 beside it has the engine compute even the tests' networks, which are so small that fronts do otherwise.
HAND_OVER = """
import sys
if "vitrail.serving.processes.front" in sys.orig_argv:
    from vitrail.serving.processes import small_model
    small_model.SMALL = 0.0
"""

of_one_process = pytest.mark.skipif(PROCESSES["VITRAIL_PROCESSES"] != "1", reason="it is about a single worker")

Start = Callable[..., AbstractContextManager["Server"]]


@dataclass
class Server:
    """A server process and its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def read_log(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self) -> None:
        """Poll /readyz: the socket is bound before the model is loaded."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.read_log()
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready within a minute:\n{self.read_log()}")

    def stop(self) -> int:
        """Send SIGTERM, as a supervisor would; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def family(self) -> list[psutil.Process]:
        """The server process and all its descendants."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def customized(folder: Path, code: str) -> str:
    """A PYTHONPATH with which every Python runs this code first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


@contextmanager
def started(
    folder: Path,
    command: list[str],
    ready: bool = True,
    stdout: int | None = None,
    stderr: int | None = None,
    hand_over: bool = "HAND_OVER" in os.environ,
    **environment: str,
) -> Iterator[Server]:
    """Start `command` with {port} filled in, and stop it; assert that no process remains."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("VITRAIL_", "BENTOML_"))}
    own = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True", **PROCESSES, **environment}
    if hand_over and "PYTHONPATH" not in environment:  # whose code would not run else
        own["PYTHONPATH"] = customized(folder / "site", HAND_OVER)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [argument.format(port=port) for argument in command],
            cwd=folder,
            env={**inherited, **own},
            stdout=log if stdout is None else stdout,
            stderr=subprocess.STDOUT if stderr is None else stderr,
        )
        server = Server(process, f"http://127.0.0.1:{port}", folder / "log")
        try:
            if ready:
                server.wait_until_ready()
            yield server
        finally:
            if process.poll() is None:
                family = server.family()
                server.stop()
                assert not alive(family)
