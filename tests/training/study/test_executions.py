"""How contenders compute: measured once, kept in the plan, and used by every run."""

from pathlib import Path

import pytest
import torch

from vitrail.data import Digits
from vitrail.training.precision import PLAIN, Execution
from vitrail.training.study import executions as module
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.train import train

FAST = Execution("bf16-mixed", is_channels_last=True)


def resolved_with(file: Path, precision: str) -> ResolvedPlan:
    return resolve(parse_study([f"--config={file}", f"--precision={precision}", "--data.crop=null"]).plan, Digits())


def test_a_given_precision_is_not_measured(plan_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measure_training", None)
    assert resolved_with(plan_file, "32-true").executions == {"ViT": PLAIN, "CNN": PLAIN}
    assert resolved_with(plan_file, "bf16-mixed").execution("CNN") == Execution("bf16-mixed")


def test_measured_executions_are_kept_in_the_plan(plan_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And measuring draws no random number."""
    monkeypatch.setattr(module, "fastest", lambda contender, *_: FAST if contender.name == "CNN" else PLAIN)
    resolved = resolved_with(plan_file, "auto")
    assert resolved.executions == {"ViT": PLAIN, "CNN": FAST}
    assert ResolvedPlan.from_plain(resolved.to_plain()) == resolved
    monkeypatch.undo()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert resolved_with(plan_file, "auto").executions.keys() == {"ViT", "CNN"}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_plan_of_an_earlier_version_computes_in_float32(plan_file: Path) -> None:
    plain = resolved_with(plan_file, "32-true").to_plain()
    del plain["executions"]
    assert ResolvedPlan.from_plain(plain).execution("ViT") == PLAIN


def test_a_run_computes_as_the_plan_says(plan_file: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 changes the weights, and little of the predictions."""
    monkeypatch.setattr(module, "fastest", lambda *_: FAST)
    job = Job("CNN", 60, 0, 0.005)
    plain, fast = (train(resolved_with(plan_file, name), job, Digits()) for name in ("32-true", "auto"))
    assert plain.files["best.ckpt"] != fast.files["best.ckpt"]
    assert plain.result.val_loss != fast.result.val_loss
    assert plain.result.val_loss == pytest.approx(fast.result.val_loss, rel=0.05)
