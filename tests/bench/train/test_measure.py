"""The benchmark of training: its ratios and table; and, in the long run, all of it on photos of its own making."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vitrail.bench.train.measure import TrainReport, measure, report_text
from vitrail.bench.train.plan import (
    BOTH,
    CONTENDERS,
    FOLDER,
    NETWORK,
    ONE,
    OURS,
    PARTS,
    PIPELINE,
    PROCESSES,
    TIMM,
    TWO,
    Plan,
    contenders_of,
)
from vitrail.errors import UsageError, VitrailError


def test_ratios_are_taken_within_a_round() -> None:
    speeds = {PIPELINE: (1.0, 3.0, 4.0), NETWORK: (10.0, 10.0, 9.0), BOTH: (12.5, 20.0, 18.0)}
    seconds = {
        part: {
            name: [value * (1 + round_) for round_ in range(5)] for name, value in zip(CONTENDERS, values, strict=True)
        }
        for part, values in speeds.items()
    }
    cpu = {part: {name: [2 * value for value in times[OURS]] for name in times} for part, times in seconds.items()}
    report = TrainReport(plan=Plan(photos=""), seconds=seconds, cpu_seconds=cpu, prepared=2.0)
    assert report.speedup(PIPELINE, TIMM).value == pytest.approx(3)
    assert report.speedup(NETWORK, FOLDER).high == pytest.approx(0.9)
    assert report.cpu_speedup(BOTH, FOLDER).value == pytest.approx(1)
    assert [report.fed(name).value for name in CONTENDERS] == pytest.approx([0.8, 0.5, 0.5])
    text = report_text(report)
    (row,) = (line.split() for line in text.splitlines() if line.startswith("both, timm "))
    assert row == ["both,", "timm", "0.0", "0.0", "1.600", "[1.600,", "1.600]", "1.000", "[1.000,", "1.000]"]
    assert "relative to the network alone: vitrail 0.800 [0.800, 0.800]" in text
    assert "decodes and checks all images once, in 2.0 s (128 images/s)" in text


def test_parts_that_are_left_out_are_not_reported() -> None:
    times = {NETWORK: {name: [1.0] * 5 for name in CONTENDERS}}
    report = TrainReport(plan=Plan(photos="", parts=(NETWORK,)), seconds=times, cpu_seconds=times, prepared=2.0)
    text = report_text(report)
    assert "network alone, timm" in text
    assert "both" not in text
    assert "pipeline" not in text


def test_two_processes_are_compared_with_one() -> None:
    seconds = {PROCESSES: {ONE: [0.1 * (1 + round_) for round_ in range(5)], TWO: [0.055 * (1 + i) for i in range(5)]}}
    cpu = {PROCESSES: {ONE: [0.1] * 5, TWO: [0.11] * 5}}
    report = TrainReport(plan=Plan(photos="", parts=(PROCESSES,)), seconds=seconds, cpu_seconds=cpu, prepared=2.0)
    assert report.scaling().value == pytest.approx(1 / 0.55)
    assert report.cpu_scaling().value == pytest.approx(1 / 1.1)
    text = report_text(report)
    (row,) = (line.split() for line in text.splitlines() if line.startswith("two processes"))
    assert row == ["two", "processes", "6.1", "9.1", "1.818", "[1.818,", "1.818]", "0.909", "[0.909,", "0.909]"]
    assert "timm" not in text.partition("two processes")[2]


def test_one_core_measures_no_processes_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vitrail.bench.train.measure.usable_cores", lambda: 1)
    Image.new("RGB", (40, 30)).save(tmp_path / "one.png")
    plan = Plan(
        photos=str(tmp_path), width=40, height=30, images=4, batch=2, size=32, net="test_vit", parts=(PROCESSES,)
    )
    report = measure(plan)
    assert report.seconds == {}
    assert "not measured: processes: two processes need two cores" in report_text(report)


def test_an_epoch_has_whole_batches_in_every_process() -> None:
    plan = Plan(photos="", images=50, batch=16)
    assert [plan.trained(name) for name in (OURS, ONE, TWO)] == [48, 48, 32]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images": 8, "batch": 9}, "8 images make no batch of 9"),
        ({"workers": -1}, "0 processes or more, not -1"),
        ({"rounds": 3}, "at least 5"),
        ({"parts": ("network",)}, "are pipeline alone, network alone, both, processes, not network"),
        ({"parts": (PROCESSES,), "images": 40}, "40 images make no batch of 32 in each of two processes"),
    ],
)
def test_invalid_plans_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plan(photos="", **wrong)


def test_unknown_network_is_refused_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match="timm has no network 'deit_huge'"):
        measure(Plan(photos="none", net="deit_huge"))


def test_cache_without_room_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else vitrail would decode in every epoch, and be measured as if it did not."""
    monkeypatch.setattr("vitrail.data.image_store.usable_bytes", lambda folder: 0)
    Image.new("RGB", (40, 30)).save(tmp_path / "one.png")
    with pytest.raises(VitrailError, match="the disk has no room for decoded photos"):
        measure(Plan(photos=str(tmp_path), width=40, height=30, images=2, batch=2, size=32, net="test_vit"))


@pytest.mark.long
def test_every_contender_takes_its_turns(tmp_path: Path) -> None:
    for index in range(3):
        Image.effect_noise((90, 70), 40 + index).convert("RGB").save(tmp_path / f"{index}.png")
    plan = Plan(
        photos=str(tmp_path),
        width=80,
        height=60,
        images=16,
        size=32,
        batch=8,
        net="test_vit",
        workers=1,
        rounds=5,
        parts=(*PARTS, PROCESSES),
    )
    report = measure(plan)
    for measured in (report.seconds, report.cpu_seconds):
        assert {part: {name: len(times) for name, times in each.items()} for part, each in measured.items()} == {
            part: dict.fromkeys(contenders_of(part), 5) for part in plan.parts
        }
    assert all(seconds > 0 for each in report.seconds.values() for times in each.values() for seconds in times)
    assert report.prepared > 0
