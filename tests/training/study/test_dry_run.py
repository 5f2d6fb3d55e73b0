"""Dry runs: they print an estimate, write nothing, and decode a sample of the images only."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.cli import main
from vitrail.data import Digits, Part, Samples
from vitrail.images.canvas import InputRule
from vitrail.training.study import dry_run as dry
from vitrail.training.study import study
from vitrail.training.study.dry_run import RunCost, decoding_seconds, run_seconds
from vitrail.training.study.image_cache import CachedSource, SourceSubset
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import Plan
from vitrail.training.study.resolved_plan import resolve


def plan_in(file: Path, *options: str) -> Plan:
    return parse_study(["--config", str(file), *options]).plan


def test_a_dry_run_prints_an_estimate_and_writes_nothing(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", f"--config={plan_file}", "--dry-run", "--workers=2", "--contenders.CNN.match=flops"]) == 0
    matched, head, *sizes, last = capsys.readouterr().out.splitlines()
    assert matched.startswith("CNN matched: width ")
    assert head.split() == ["images", "runs", "of", "each", "ViT", "CNN"]
    assert [line.split()[:2] for line in sizes] == [["30", "7"], ["60", "7"]]
    assert last.startswith("28 runs, ")
    assert "with 2 at a time" in last
    assert "for the baselines" in last
    assert "core-hours" in last
    assert list(tmp_path.iterdir()) == [plan_file]


def test_the_estimate_uses_the_workers_of_the_executor(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", f"--config={plan_file}", "--dry-run", "--executor=here"]) == 0
    assert "with 1 at a time" in capsys.readouterr().out


def test_the_cost_of_a_run_counts_steps_and_images(plan_file: Path) -> None:
    cost = RunCost(step=1.0, validation=0.1, prediction=0.01, fixed=3.0)
    steps = plan_in(plan_file, "--mode=equal-steps", "--steps=20", "--validate_every=5")
    assert cost.of_run(steps, train=80, val=20, test=120) == pytest.approx(3 + 20 + 4 * 2 + 2)
    epochs = plan_in(plan_file, "--mode=equal-epochs", "--epochs=7", "--data.batch_size=10")
    assert cost.of_run(epochs, train=80, val=20, test=120) == pytest.approx(3 + 7 * 8 + 7 * 2 + 2)


def test_a_budget_too_small_says_what_it_buys(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", f"--config={plan_file}", "--executor=here", "--mode=trained-out", "--budget=1s"]) == 2
    message = capsys.readouterr().err
    assert re.search(
        r"--budget of 1 s buys about \d+ of the \d+ runs of \d+ steps that this study begins with", message
    )
    assert list(tmp_path.iterdir()) == [plan_file]


def test_what_the_budget_measured_is_not_measured_again(
    plan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = parse_study(["--config", str(plan_file), "--mode=trained-out", "--budget=1h"])
    resolved = dry.refuse_small_budget(options)
    assert resolved is not None
    monkeypatch.setattr(study, "resolve", pytest.fail)
    assert study.resolved_in(options.folder, options.plan, Digits(), resolved) == resolved
    assert dry.refuse_small_budget(options) is None  # the folder is there: it is resumed


class Counting(Digits):
    """Counts decoded images."""

    decoded = 0

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        samples = super().read(part, rule, chosen)
        self.decoded += len(samples)
        return samples


def test_a_dry_run_decodes_a_sample(plan_file: Path) -> None:
    source = Counting()
    resolved = resolve(plan_in(plan_file, "--sizes=[30, 1400]"), source)
    sample = CachedSource(SourceSubset(source, 40))
    assert decoding_seconds(resolved, source, sample) > 0
    assert source.decoded == 40
    seconds = run_seconds(resolved, source, sample, most=40)
    assert source.decoded <= 3 * 40  # images of the timed decoding are not decoded again
    assert {key for key, value in seconds.items() if value > 0} == {
        (name, size) for name in ("ViT", "CNN") for size in (30, 1400)
    }


def test_a_larger_size_costs_more_predictions(plan_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry, "measure", lambda *_: RunCost(step=0.0, validation=0.0, prediction=1.0, fixed=0.0))
    source = Digits()
    resolved = resolve(plan_in(plan_file, "--sizes=[30, 1400]"), source)
    seconds, test = (
        run_seconds(resolved, source, CachedSource(SourceSubset(source, 40)), 40),
        len(source.labels("test")),
    )
    assert (seconds["CNN", 30], seconds["CNN", 1400]) == (20 + test, 1120 + test)
