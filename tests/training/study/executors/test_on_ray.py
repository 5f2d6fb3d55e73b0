"""The study on a real Ray cluster of two nodes."""

import csv
import os
import signal
import socket
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import VitrailError
from vitrail.training.study.executors.on_ray import connected, on_ray
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import resolve

from ..nodes import free_port

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'vitrail[ray]'")


SMALLER = ["--rate_factors=[1]"]


@needs_ray
@pytest.mark.parametrize("smaller", [SMALLER, pytest.param([], marks=pytest.mark.long)], ids=["smaller", "whole"])
def test_two_nodes_give_the_results_of_one_process(
    smaller: list[str], cluster: str, plan_file: Path, tmp_path: Path
) -> None:
    options = ["study", f"--config={plan_file}", *smaller]
    assert main([*options, f"--folder={tmp_path / 'here'}", "--executor=here"]) == 0
    assert main([*options, f"--folder={tmp_path / 'ray'}", "--executor=ray", f"--address={cluster}"]) == 0
    assert (tmp_path / "ray/results.csv").read_bytes() == (tmp_path / "here/results.csv").read_bytes()
    for place in (tmp_path / "here" / "runs").iterdir():
        there = tmp_path / "ray" / "runs" / place.name / "predictions.npz"
        assert there.read_bytes() == (place / "predictions.npz").read_bytes()
    with (tmp_path / "ray/timings.csv").open() as file:
        assert len({row["worker"] for row in csv.DictReader(file) if row["worker"]}) == 2


@needs_ray
@pytest.mark.long
def test_a_dead_actor_is_replaced(cluster: str, plan_file: Path) -> None:
    resolved = resolve(parse_study([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job("CNN", size, seed, 0.005) for seed in range(3) for size in (30, 60)]
    seen: list[FinishedRun] = []
    with on_ray(resolved, cluster, None, 1.0) as workers:
        assert workers.size == 2
        for done in workers.work(jobs):
            if not seen and done.timing:
                os.kill(int(done.timing.worker.rpartition("-")[2]), signal.SIGKILL)
            seen.append(done)
    assert Counter(done.job for done in seen) == Counter(jobs)
    assert [done.fault for done in seen] == [None] * len(jobs)


@needs_ray
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_run_that_fits_no_node_is_refused(
    cluster: str, plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    options = ["--executor=ray", f"--address={cluster}", "--threads=64", *more]
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", *options]) == 1
    assert "the Ray cluster has 2 cores" in capsys.readouterr().err


def test_an_address_without_a_listener_is_refused(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    options = ["--executor=ray", f"--address={address}"]
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no Ray cluster listens at {address}" in line


@needs_ray
def test_a_listener_other_than_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that never responds; Ray itself would wait for minutes."""
    monkeypatch.setattr("vitrail.training.study.executors.on_ray.STATUS_TIMEOUT", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(VitrailError, match=f"the server at {address} does not respond"):
            connected(address)
