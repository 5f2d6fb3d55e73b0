"""`examples/ray`: processes of a Ray cluster train one run, and one that fails ends all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from .training.study.nodes import ray_cluster

pytest.importorskip("ray")
EXAMPLE = Path(__file__).parent.parent / "examples" / "ray" / "fit.py"
FIT = ["--config=digits-cnn", "--trainer.max_steps=8", "--trainer.val_check_interval=4", "--trainer.accelerator=cpu"]


def example() -> Any:
    spec = spec_from_file_location("ray_fit", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_process_is_a_rank_that_lightning_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example().environment(3, ("10.0.0.7", 2345)).items():
        monkeypatch.setenv(name, value)
    environment = LightningEnvironment()
    assert environment.creates_processes_externally
    assert (environment.node_rank(), environment.local_rank()) == (3, 0)
    assert (environment.main_address, environment.main_port) == ("10.0.0.7", 2345)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ray_cluster(tmp_path_factory.mktemp("ray"), 2) as address:
        yield address


def fit(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(EXAMPLE), "2", *FIT, *options]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.long
def test_two_nodes_train_one_run(address: str, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "two"
    done = fit(address, f"--run={run}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 8/8") == 1
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 8
    refused = fit(address, "--data.path=nowhere", f"--run={tmp_path / 'none'}")
    assert refused.returncode == 1
    assert "nowhere" in refused.stdout + refused.stderr
