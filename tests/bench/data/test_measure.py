"""The benchmark of training images: what it compares, and that it runs on photos of its own making."""

from pathlib import Path

import pytest
from PIL import Image

from vitrail.bench.data.measure import FIRST, FOLDER, LATER, TIMM, DataReport, Plan, measure, report_text
from vitrail.bench.data.steps import FED, RESIDENT
from vitrail.errors import UsageError


def test_ratios_are_images_per_second_within_a_round() -> None:
    seconds = {FIRST: 0.002, LATER: 0.001, TIMM: 0.004, FOLDER: 0.006}
    epochs = {name: [value * (1 + index) for index in range(5)] for name, value in seconds.items()}
    report = DataReport(plan=Plan(photos=""), epochs=epochs, steps={FED: [1.0] * 5, RESIDENT: [0.96] * 5})
    assert report.speedup(FIRST, TIMM).value == pytest.approx(2)
    assert report.speedup(LATER, FOLDER).low == pytest.approx(6)
    assert report.fed.value == pytest.approx(0.96)
    (line,) = (line for line in report_text(report).splitlines() if line.startswith(TIMM))
    assert line.split() == ["timm", "83", "2.000", "[2.000,", "2.000]", "4.000", "[4.000,", "4.000]"]


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(UsageError, match="8 images make no batch of 9"):
        Plan(photos="", images=8, batch=9)


@pytest.mark.long
def test_every_loader_and_every_step_is_measured(tmp_path: Path) -> None:
    for index in range(3):
        Image.effect_noise((90, 70), 40 + index).convert("RGB").save(tmp_path / f"{index}.png")
    plan = Plan(photos=str(tmp_path), width=80, height=60, images=16, size=32, batch=8, rounds=5, steps=1)
    report = measure(plan)
    assert {name: len(times) for name, times in report.epochs.items()} == dict.fromkeys((FIRST, LATER, TIMM, FOLDER), 5)
    assert {name: len(times) for name, times in report.steps.items()} == dict.fromkeys((FED, RESIDENT), 5)
    assert all(seconds > 0 for times in (*report.epochs.values(), *report.steps.values()) for seconds in times)
