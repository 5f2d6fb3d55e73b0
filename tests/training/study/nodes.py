"""A real Ray cluster on loopback, each node a separate process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINE = 240  # seconds, on a busy machine
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


def node(log: Path, *options: str) -> subprocess.Popen[bytes]:
    """A node in its own session; 127.0.0.1 is avoided, as Ray replaces it with the machine's address."""
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [*NODE, *options]
    return subprocess.Popen(command, env=quiet, stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True)


@contextmanager
def ray_cluster(folder: Path, size: int) -> Iterator[str]:
    """The address of a cluster of so many nodes with a core each; their logs are in `folder`."""
    port = free_port()
    address = f"127.0.0.2:{port}"
    options = ("--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false")
    nodes = [node(folder / "head.log", *options)]
    try:
        wait_for_nodes(address, 1, folder)
        for number in range(2, size + 1):
            log, host = folder / f"{number}.log", f"127.0.0.{number + 1}"
            nodes.append(node(log, f"--node-ip-address={host}", f"--address={address}"))
            wait_for_nodes(address, number, folder)
        yield address
    finally:
        for started in reversed(nodes):
            end(started)


def wait_for_nodes(address: str, count: int, folder: Path) -> None:
    """Checked in a separate process, as a Ray driver that connects too early never recovers."""
    program = (
        "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR'); "
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        host, _, port = address.partition(":")
        with suppress(OSError, subprocess.TimeoutExpired):
            socket.create_connection((host, int(port)), 1).close()
            command = [sys.executable, "-c", program, address]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if result.stdout.strip() == str(count):
                return
        time.sleep(0.5)
    raise AssertionError("".join(log.read_text() for log in folder.glob("*.log")))


def end(started: subprocess.Popen[bytes]) -> None:
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(timeout=30)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(timeout=30)
