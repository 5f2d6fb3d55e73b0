"""The learning rate: rises linearly, falls as half a cosine, counted in steps."""

from math import cos, pi

import pytest
import torch

from vitrail.training.schedule import WarmupCosine


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
