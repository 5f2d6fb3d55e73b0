"""Tests of the choice of a precision: by the measured time of a step, without a trace in the network."""

from pathlib import Path
from time import sleep

import numpy as np
import pytest
import torch
from torch import nn

from vitrail.cli import main
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input
from vitrail.training import cli
from vitrail.training.precision import Measured, measure, measure_training


@pytest.mark.parametrize("is_slow_in_float32", [True, False])
def test_the_faster_precision_is_chosen(is_slow_in_float32: bool) -> None:
    def step() -> None:
        sleep(0.02 if torch.is_autocast_enabled("cpu") is not is_slow_in_float32 else 0.001)

    measured = measure(step, "cpu", rounds=2)
    assert measured.faster == ("bf16-mixed" if is_slow_in_float32 else "32-true")
    assert 0.001 <= measured.least < 0.02


def test_measuring_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measured = measure_training(network.eval(), Input(InputRule(8)), 4, "cpu")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
    assert set(measured.seconds) == {"32-true", "bf16-mixed"}


def test_fit_trains_in_the_measured_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Measured({"32-true": 0.5, "bf16-mixed": 0.2})
    monkeypatch.setattr(cli, "measure_training", lambda *args: measured)
    seen: list[bool] = []
    forward = torch.nn.Linear.forward

    def watched(self: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        if self.training:  # operations are counted without
            seen.append(torch.is_autocast_enabled("cpu"))
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", watched)
    argv = ["fit", "--config", "digits-vit", f"--run={tmp_path / 'run'}", "--trainer.max_steps=1", "--precision=auto"]
    assert main([*argv, "--trainer.accelerator=cpu"]) == 0
    assert (
        "precision bf16-mixed, since a step in bfloat16 is 2.50 × as fast as in float32 here" in capsys.readouterr().out
    )
    assert seen
    assert all(seen)


def test_a_run_in_bfloat16_is_tested_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.precision=bf16-mixed"]
    assert main(["fit", "--config=digits-vit", f"--run={run}", "--trainer.accelerator=cpu", *steps]) == 0
    for verb in ("test", "predict"):
        assert main([verb, f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]) == 0
    assert "top-1" in capsys.readouterr().out
    with np.load(run / "predictions.npz") as arrays:
        assert arrays["probabilities"].dtype == np.float32
        assert arrays["probabilities"].sum(axis=1) == pytest.approx(1)
