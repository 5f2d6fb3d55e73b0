"""The benchmark of training: its ratios and table; and, in the long run, all of it on photos of its own making."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vitrail.bench.train.measure import TrainReport, measure, report_text
from vitrail.bench.train.plan import BOTH, CONTENDERS, FOLDER, NETWORK, OURS, PARTS, PIPELINE, TIMM, Plan
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images": 8, "batch": 9}, "8 images make no batch of 9"),
        ({"workers": -1}, "0 processes or more, not -1"),
        ({"rounds": 3}, "at least 5"),
        ({"parts": ("network",)}, "parts of this measurement are pipeline alone, network alone, both, not network"),
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
        photos=str(tmp_path), width=80, height=60, images=16, size=32, batch=8, net="test_vit", workers=1, rounds=5
    )
    report = measure(plan)
    for measured in (report.seconds, report.cpu_seconds):
        assert {part: {name: len(times) for name, times in each.items()} for part, each in measured.items()} == {
            part: dict.fromkeys(CONTENDERS, 5) for part in PARTS
        }
    assert all(seconds > 0 for each in report.seconds.values() for times in each.values() for seconds in times)
    assert report.prepared > 0
