"""Tests of training within a time: lengths, the best weights, Ctrl-C and going on, a loss that is no number."""

import os
import signal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from vitrail.models.checkpoint import load_checkpoint
from vitrail.training.build import tuning
from vitrail.training.build.candidates import Candidate
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.tuning import (
    BEST,
    LAST,
    Length,
    fitting_batch,
    length_of,
    module_and_data,
    steps_done,
    tune,
)
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.precision import PLAIN, Execution, Measured
from vitrail.training.runs import bare_trainer

RECIPE = {
    "model": {
        "net": {"class_path": "vitrail.models.ViT", "init_args": {"patch": 4, "width": 16, "depth": 1, "heads": 2}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003}},
    },
    "data": {"size": 8, "batch_size": 128, "augment": [{"class_path": "vitrail.training.augmentation.HorizontalFlip"}]},
}


def made(tmp_path: Path) -> tuple[ImageModule, ImageDataModule]:
    plan = BuildPlan("digits", tmp_path / "model")
    candidate = Candidate("small", "ViT", "", RECIPE)
    return module_and_data(candidate, plan, ImageDataModule("digits", 8), is_flipped=False)


def say(text: str) -> None:
    pass


def test_a_longer_time_gives_more_steps_up_to_a_number_of_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, data = made(tmp_path)
    assert (data.batch_size, data.count("train"), data.augment) == (23, 1151, [])
    measured = Measured({PLAIN: 0.5, Execution("bf16-mixed"): 0.6}, 16)
    monkeypatch.setattr(tuning, "measure_training", lambda network, to_pixels, batch, device: measured)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    step = 0.5 * 23 / 16
    validation = 287 / 23 * step / 3
    many = 10 * validation + 1000.5 * 1.1 * step
    assert length_of(module, data, many, True, "cpu") == Length(1000, PLAIN, 10)
    few = 2 * validation + 10.5 * 1.1 * step  # a validation takes as long as four steps
    assert length_of(module, data, few, True, "cpu") == Length(14, PLAIN, 1)
    assert length_of(module, data, 1e6, True, "cpu").steps == 30 * 50
    assert length_of(module, data, 1e6, False, "cpu").steps == 200 * 50
    assert length_of(module, data, 0.1, True, "cpu").steps == 0
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_small_sets_take_small_batches() -> None:
    assert [fitting_batch(64, images) for images in (3, 80, 1600, 10_000)] == [3, 8, 32, 64]


class PressCtrlC(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_the_best_and_the_same_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length, end, whole = Length(40, PLAIN), monotonic() + 60, bare_trainer
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "bare_trainer", lambda some, **options: whole([*some, PressCtrlC(18)], **options))
        stopped = tune(*made(tmp_path), length, tmp_path, end, "cpu", say)
    assert (stopped.is_interrupted, stopped.steps, steps_done(tmp_path)) == (True, 19, 19)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert stopped.hits == round(max(value for _, value in stopped.curve) * 287)
    went_on = tune(*made(tmp_path), length, tmp_path, end, "cpu", say)
    assert (went_on.is_interrupted, went_on.steps) == (False, 40)
    assert went_on.curve[: len(stopped.curve)] == stopped.curve
    assert went_on.hits == round(max(value for _, value in went_on.curve) * 287) > 287 / 2
    origin, _ = load_checkpoint(tmp_path / BEST)
    assert origin.run_data.count("train") == 1151


def test_a_second_ctrl_c_ends_the_command_although_lightning_would_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PressTwice(PressCtrlC):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
            if trainer.global_step == self.at + 1:
                os.kill(os.getpid(), signal.SIGINT)

    whole = bare_trainer
    monkeypatch.setattr(tuning, "bare_trainer", lambda some, **options: whole([*some, PressTwice(3)], **options))
    with pytest.raises(KeyboardInterrupt):
        tune(*made(tmp_path), Length(40, PLAIN), tmp_path, monotonic() + 60, "cpu", say)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_time_ends_a_training(tmp_path: Path) -> None:
    tuned = tune(*made(tmp_path), Length(1000, PLAIN), tmp_path, monotonic(), "cpu", say)
    assert (tuned.steps, len(tuned.curve), (tmp_path / BEST).is_file()) == (1, 1, True)


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_best_before(tmp_path: Path) -> None:
    module, data = made(tmp_path)
    lines: list[str] = []
    loss = module.training_task.loss

    def breaking(net: Any, *args: Any) -> torch.Tensor:
        return loss(net, *args) * (float("nan") if module.trainer.global_step > 5 else 1)

    module.training_task.loss = breaking  # type: ignore[method-assign, assignment]
    tuned = tune(module, data, Length(40, PLAIN), tmp_path, monotonic() + 60, "cpu", lines.append)
    assert tuned.curve == ((4, tuned.curve[0][1]),)
    assert any("no number at step" in line and "best weights before are kept" in line for line in lines)
    assert all(value.isfinite().all() for value in load_checkpoint(tmp_path / BEST)[1].values())
    assert (tmp_path / LAST).is_file()
