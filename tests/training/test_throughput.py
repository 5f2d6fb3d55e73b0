"""The speed of a run: images of steps over their time, without validations, and the share spent waiting for data."""

import csv
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vitrail.cli import main
from vitrail.training import throughput as module
from vitrail.training.throughput import Speed, Throughput, operations_per_second


class Clock:
    """Advances only by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_images_wait_and_ceiling_of_known_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    trainer: Any = SimpleNamespace(world_size=2, loggers=[], state=SimpleNamespace(fn="fit"), global_step=3)
    net = torch.nn.Linear(1, 1)
    on_cpu: Any = SimpleNamespace(device=torch.device("cpu"), net=net)
    speed = Throughput()
    speed.flops, speed.peak = 30, 600.0
    for fetching in (7, 1, 1):  # what comes before the first step is start-up
        clock.now += fetching
        speed.on_train_batch_start(trainer)
        clock.now += 3
        speed.on_train_batch_end(trainer, on_cpu, None, [torch.zeros(11)], 0)
    speed.on_validation_start(trainer, on_cpu)
    # Three steps of 3 s and two waits of 1 s, for 3 batches of 11 images in each of two processes.
    assert speed.speed == Speed(66 / 11, 2 / 11, 66 / 11 * 30 / (2 * 600))
    assert str(speed.speed) == "6 images/s, 18% waiting for data, 15% of the matrix ceiling"
    clock.now += 100  # the validation
    speed.on_validation_end(trainer, on_cpu)
    speed.on_train_batch_start(trainer)
    clock.now += 1
    speed.on_train_batch_end(trainer, on_cpu, None, [torch.zeros(11)], 0)
    speed.on_validation_start(trainer, on_cpu)
    assert speed.speed.images_per_second == 22
    net.bias.requires_grad_(False)  # no gradients of what is frozen, so the count of operations does not hold
    speed.on_validation_start(trainer, on_cpu)
    assert speed.speed.ceiling is None


def test_a_product_takes_as_many_operations_as_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDES", {"cpu": 8})
    monkeypatch.setattr(torch, "mm", lambda *matrices: sleep(0.01))
    assert operations_per_second(torch.float32, torch.device("cpu")) == pytest.approx(2 * 8**3 / 0.01, rel=0.5)


def test_fit_prints_and_logs_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["--trainer.max_steps=4", "--trainer.val_check_interval=2"]
    assert main(["fit", "--config=digits-cnn", *steps, f"--run={tmp_path / 'run'}"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert len(lines) == 2
    assert all("images/s, " in line and line.endswith("of the matrix ceiling") for line in lines)
    with (tmp_path / "run/metrics.csv").open() as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file) if row["images_per_second"]]
    assert len(rates) == 2
    assert min(rates) > 0
