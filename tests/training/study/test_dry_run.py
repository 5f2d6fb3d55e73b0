"""Dry runs: what they tell, that they write nothing, and that they look at few images however many there are."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.cli import main
from vitrail.data import Digits, Part, Samples
from vitrail.images.canvas import InputRule
from vitrail.training.study import dry_run as dry
from vitrail.training.study.dry_run import Pace, decoding_of, seconds_of
from vitrail.training.study.image_cache import Few, Kept
from vitrail.training.study.parsing import read_words
from vitrail.training.study.plan import Plan
from vitrail.training.study.resolved_plan import settle


def plan_in(file: Path, *words: str) -> Plan:
    return read_words(["--config", str(file), *words]).plan


def test_a_dry_run_tells_and_writes_nothing(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", f"--config={plan_file}", "--dry-run", "--workers=2", "--contenders.CNN.match=flops"]) == 0
    matched, head, *sizes, last = capsys.readouterr().out.splitlines()
    assert matched.startswith("CNN matched: width ")
    assert head.split() == ["images", "runs", "of", "each", "ViT", "CNN"]
    assert [line.split()[:2] for line in sizes] == [["30", "5"], ["60", "5"]]
    assert last.startswith("20 runs, ")
    assert "with 2 at a time" in last
    assert "core-hours" in last
    assert list(tmp_path.iterdir()) == [plan_file]


def test_it_counts_the_workers_of_the_executor(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", f"--config={plan_file}", "--dry-run", "--executor=here"]) == 0
    assert "with 1 at a time" in capsys.readouterr().out


def test_it_reckons_with_every_step_and_every_image_that_a_run_answers(plan_file: Path) -> None:
    pace = Pace(step=1.0, validated=0.1, answered=0.01, once=3.0)
    steps = plan_in(plan_file, "--mode=equal-steps", "--steps=20", "--validate_every=5")
    assert pace.run(steps, train=80, val=20, test=120) == pytest.approx(3 + 20 + 4 * 2 + 2)
    epochs = plan_in(plan_file, "--mode=equal-epochs", "--epochs=7", "--data.batch_size=10")
    assert pace.run(epochs, train=80, val=20, test=120) == pytest.approx(3 + 7 * 8 + 7 * 2 + 2)


class Counting(Digits):
    """Remembers how many images were decoded."""

    decoded = 0

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        found = super().read(part, rule, chosen)
        self.decoded += len(found)
        return found


def test_it_looks_at_few_images(plan_file: Path) -> None:
    source = Counting()
    settled = settle(plan_in(plan_file, "--sizes=[30, 1400]"), source)
    few = Kept(Few(source, 40))
    assert decoding_of(settled, source, few) > 0
    assert source.decoded == 40
    seconds = seconds_of(settled, source, few, most=40)
    assert source.decoded <= 3 * 40  # those whose decoding was timed are not decoded again
    assert {key for key, value in seconds.items() if value > 0} == {
        (name, size) for name in ("ViT", "CNN") for size in (30, 1400)
    }


def test_a_larger_size_costs_its_images(plan_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry, "pace", lambda *_: Pace(step=0.0, validated=0.0, answered=1.0, once=0.0))
    source = Digits()
    settled = settle(plan_in(plan_file, "--sizes=[30, 1400]"), source)
    seconds, test = seconds_of(settled, source, Kept(Few(source, 40)), 40), len(source.labels("test"))
    assert (seconds["CNN", 30], seconds["CNN", 1400]) == (20 + test, 1120 + test)
