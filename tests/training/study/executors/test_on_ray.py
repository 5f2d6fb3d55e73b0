"""The study on a real Ray cluster of one node, and of two in the long tests."""

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
from vitrail.training.study.executors.this_process import this_process
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import resolve

from ..nodes import free_port

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'vitrail[ray]'")


@needs_ray
@pytest.mark.long
def test_a_node_gives_the_results_of_one_process(one_node: str, plan_file: Path) -> None:
    resolved = resolve(parse_study([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job(name, 30, 0, 0.005) for name in ("CNN", "ViT")]
    with on_ray(resolved, one_node, None, 1.0) as workers:
        assert workers.size == 1
        there = list(workers.work(jobs))
    with this_process(resolved) as workers:
        here = list(workers.work(jobs))
    assert [done.job for done in there] == jobs
    for remote, local in zip(there, here, strict=True):
        assert remote.timing is not None
        assert local.timing is not None
        assert remote.timing.worker != local.timing.worker
        assert remote.result == local.result is not None
        assert remote.wrong == local.wrong is not None
        assert remote.files["predictions.npz"] == local.files["predictions.npz"]


@needs_ray
@pytest.mark.long
def test_two_nodes_give_the_results_of_one_process(two_nodes: str, plan_file: Path, tmp_path: Path) -> None:
    options, here, ray = ["study", f"--config={plan_file}"], tmp_path / "here", tmp_path / "ray"
    assert main([*options, f"--folder={here}", "--executor=here"]) == 0
    assert main([*options, f"--folder={ray}", "--executor=ray", f"--address={two_nodes}"]) == 0
    assert (ray / "results.csv").read_bytes() == (here / "results.csv").read_bytes()
    for run in (here / "runs").iterdir():
        there = ray / "runs" / run.name / "predictions.npz"
        assert there.read_bytes() == (run / "predictions.npz").read_bytes()
    with (ray / "timings.csv").open() as file:
        assert len({row["worker"] for row in csv.DictReader(file) if row["worker"]}) == 2


@needs_ray
@pytest.mark.long
def test_a_dead_actor_is_replaced(two_nodes: str, plan_file: Path) -> None:
    resolved = resolve(parse_study([f"--config={plan_file}"]).plan, Digits())
    jobs = [Job("CNN", size, seed, 0.005) for seed in range(3) for size in (30, 60)]
    seen: list[FinishedRun] = []
    with on_ray(resolved, two_nodes, None, 1.0) as workers:
        assert workers.size == 2
        for done in workers.work(jobs):
            if not seen and done.timing:
                os.kill(int(done.timing.worker.rpartition("-")[2]), signal.SIGKILL)
            seen.append(done)
    assert Counter(done.job for done in seen) == Counter(jobs)
    assert [done.fault for done in seen] == [None] * len(jobs)


@needs_ray
@pytest.mark.long
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_run_that_fits_no_node_is_refused(
    one_node: str, plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    options = ["--executor=ray", f"--address={one_node}", "--threads=64", *more]
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", *options]) == 1
    assert "the Ray cluster has 1 and 0" in capsys.readouterr().err


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
