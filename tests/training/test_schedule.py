"""The learning rate: rises linearly, falls as half a cosine, counted in steps."""

from functools import partial
from math import cos, pi

import pytest
import torch
from pytorch_lightning.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import ExponentialLR, StepLR

from vitrail.training.schedule import WarmupCosine, config_of, scale_to


def test_it_rises_to_one_and_falls_to_the_floor() -> None:
    schedule = WarmupCosine(warmup=0.1, floor=0.01)
    factors = [schedule.factor(step, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.01 + 0.99 * (1 + cos(pi / 2)) / 2)
    assert factors[100] == pytest.approx(0.01)


def test_without_warmup_it_starts_at_the_peak() -> None:
    assert WarmupCosine(warmup=0.0).factor(0, 10) == 1.0


def test_past_the_end_it_stays_at_the_floor() -> None:
    assert WarmupCosine(floor=0.2).factor(500, 100) == pytest.approx(0.2)


def test_the_optimizer_follows_it_step_by_step() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(warmup=0.2)
    scheduler = schedule.attach(optimizer, steps=10)
    for step in range(10):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2.0 * schedule.factor(step, 10))
        optimizer.step()
        scheduler.step()


def test_a_schedule_of_torch_counts_epochs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    config = config_of(partial(StepLR, step_size=3), optimizer, steps=10)
    assert isinstance(config["scheduler"], StepLR)
    assert config["interval"] == "epoch"
    assert config_of(WarmupCosine(), optimizer, steps=10)["interval"] == "step"


def test_a_plateau_names_its_metric() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    assert config_of(partial(ReduceLROnPlateau, monitor="val_loss"), optimizer, steps=10)["monitor"] == "val_loss"


def test_another_peak_scales_every_group() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.01)]
    scheduler = ExponentialLR(torch.optim.SGD(groups, lr=0.1), gamma=0.5)
    scale_to(scheduler, 0.3)
    assert [group["lr"] for group in scheduler.optimizer.param_groups] == pytest.approx([0.3, 0.03])
    scheduler.optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in scheduler.optimizer.param_groups] == pytest.approx([0.15, 0.015])
