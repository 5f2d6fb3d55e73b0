"""A real Ray cluster of two nodes, head and second node as processes of their own on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINE = 240  # seconds, on a machine where others are at work
NODE = (
    sys.executable,
    "-m",
    "ray.scripts.scripts",
    "start",
    "--block",
    "--num-cpus=1",
    "--object-store-memory=80000000",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def node(log: Path, *words: str) -> subprocess.Popen[bytes]:
    """A node, with all its processes in a session of its own; of 127.0.0.1 Ray would make the machine's address."""
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [*NODE, *words]
    return subprocess.Popen(command, env=quiet, stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True)


@contextmanager
def two_nodes(place: Path) -> Iterator[str]:
    """The address of a head that a second node has joined; their logs are in `place`."""
    port = free_port()
    address = f"127.0.0.2:{port}"
    words = ("--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false")
    nodes = [node(place / "head.log", *words)]
    try:
        wait_for_nodes(address, 1, place)
        nodes.append(node(place / "second.log", "--node-ip-address=127.0.0.3", f"--address={address}"))
        wait_for_nodes(address, 2, place)
        yield address
    finally:
        for started in reversed(nodes):
            end(started)


def wait_for_nodes(address: str, count: int, place: Path) -> None:
    """Asked from a process of its own: a driver that came too early would stay confused."""
    asking = (
        "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR'); "
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    end_of_patience = time.monotonic() + DEADLINE
    while time.monotonic() < end_of_patience:
        host, _, port = address.partition(":")
        with suppress(OSError, subprocess.TimeoutExpired):
            socket.create_connection((host, int(port)), 1).close()
            asked = [sys.executable, "-c", asking, address]
            found = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
            if found.stdout.strip() == str(count):
                return
        time.sleep(0.5)
    raise AssertionError("".join(log.read_text() for log in place.glob("*.log")))


def end(started: subprocess.Popen[bytes]) -> None:
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(timeout=30)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(timeout=30)
