"""The study on a real Ray cluster of two nodes, head and second node as processes of their own on loopback."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import VitrailError
from vitrail.training.study.executors.on_ray import connected, on_ray
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.settled import settle
from vitrail.training.study.words import read_words

DEADLINE = 240  # seconds, on a machine where others are at work
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'vitrail[ray]'")
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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a head that a second node has joined."""
    place, port = tmp_path_factory.mktemp("ray"), free_port()
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


@needs_ray
def test_two_nodes_find_the_same_as_one_process(cluster: str, plan_file: Path, tmp_path: Path) -> None:
    words = ["study", f"--config={plan_file}"]
    assert main([*words, f"--folder={tmp_path / 'here'}", "--executor=here"]) == 0
    assert main([*words, f"--folder={tmp_path / 'ray'}", "--executor=ray", f"--address={cluster}"]) == 0
    assert (tmp_path / "ray/results.csv").read_bytes() == (tmp_path / "here/results.csv").read_bytes()
    for place in (tmp_path / "here" / "runs").iterdir():
        there = tmp_path / "ray" / "runs" / place.name / "predictions.npz"
        assert there.read_bytes() == (place / "predictions.npz").read_bytes()
    with (tmp_path / "ray/timings.csv").open() as file:
        assert len({row["worker"] for row in csv.DictReader(file) if row["worker"]}) == 2


@needs_ray
def test_an_actor_that_dies_costs_only_its_run(cluster: str, plan_file: Path) -> None:
    settled = settle(read_words([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job("CNN", size, seed, 0.005) for seed in range(3) for size in (30, 60)]
    seen: list[Done] = []
    with on_ray(settled, cluster, None, 1.0) as workers:
        assert workers.size == 2
        for done in workers.work(jobs):
            if not seen and done.timing:
                os.kill(int(done.timing.worker.rpartition("-")[2]), signal.SIGKILL)
            seen.append(done)
    assert Counter(done.job for done in seen) == Counter(jobs)
    assert [done.fault for done in seen] == [None] * len(jobs)


@needs_ray
def test_a_run_that_no_node_has_room_for_is_refused(
    cluster: str, plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--executor=ray", f"--address={cluster}", "--threads=64"]
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", *words]) == 1
    assert "the Ray cluster has 2 cores" in capsys.readouterr().err


def test_an_address_where_nobody_answers_is_named(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    words = ["--executor=ray", f"--address={address}"]
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"nobody answers at {address}" in line


@needs_ray
def test_somebody_else_at_the_address_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who listens and never speaks; Ray itself would wait for minutes."""
    monkeypatch.setattr("vitrail.training.study.executors.on_ray.LONGER_PATIENCE", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(VitrailError, match=f"somebody listens at {address}"):
            connected(address)
