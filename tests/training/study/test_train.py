"""A run of a study equals a run of `vitrail fit`: the same weights, the same predictions."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.models.checkpoint import load_checkpoint
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import Plain
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.train import StopOnPlateau, train

FLIP = {"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 0.5}}


def resolved_plan_of(file: Path, *options: str) -> ResolvedPlan:
    return resolve(parse_study([f"--config={file}", *options]).plan, Digits())


def recipe(resolved: ResolvedPlan, job: Job, mode: Plain) -> Plain:
    """The same run as a recipe of `vitrail fit`."""
    contender, data = resolved.contender(job.contender), resolved.plan.data
    optimizer = contender.model["optimizer"]
    with_rate = {**optimizer, "init_args": {**optimizer["init_args"], "lr": job.rate}}
    return {
        "seed_everything": job.seed,
        "trainer": {"accelerator": "cpu", "gradient_clip_val": 1.0, **mode},
        "model": {**contender.model, "optimizer": with_rate},
        "data": {**data, "images": job.size, "draw": job.seed, "augment": [FLIP]},
    }


STEPS: Plain = {"max_steps": 12, "val_check_interval": 3, "check_val_every_n_epoch": None}


@pytest.mark.parametrize(("contender", "crop"), [("ViT", "null"), ("CNN", "{scale: [0.3, 0.9]}")])
def test_a_run_equals_a_run_of_fit(
    contender: str, crop: str, plan_file: Path, tmp_path: Path, one_thread: None
) -> None:
    """With every source of randomness: initial weights, order, crops, augmentation, mixup."""
    options = [f"--data.crop={crop}", f"--augmentations={{flips: [{FLIP}]}}"]
    resolved = resolved_plan_of(plan_file, "--sizes=[60, 300]", "--steps=12", "--validate_every=3", *options)
    job = Job(f"{contender}+flips", 300, seed=1, rate=0.005)
    ours = train(resolved, job, Digits())

    config = tmp_path / "fit.yaml"
    config.write_text(yaml.safe_dump(recipe(resolved, job, STEPS)))
    run = tmp_path / "run"
    assert main(["fit", f"--config={config}", f"--run={run}"]) == 0
    assert main(["test", f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]) == 0

    (tmp_path / "best.ckpt").write_bytes(ours.files["best.ckpt"])
    here, there = load_checkpoint(tmp_path / "best.ckpt"), load_checkpoint(run / "checkpoints/best.ckpt")
    assert here[0] == there[0]
    assert here[1].keys() == there[1].keys()
    assert all(torch.equal(here[1][key], there[1][key]) for key in here[1])

    (tmp_path / "predictions.npz").write_bytes(ours.files["predictions.npz"])
    with np.load(tmp_path / "predictions.npz") as mine, np.load(run / "predictions.npz") as fits:
        assert np.array_equal(mine["probabilities"], fits["probabilities"])
        assert np.array_equal(mine["names"], fits["names"])
        wrong = mine["probabilities"].argmax(1) != mine["labels"]
    assert ours.result.test_error == wrong.mean()
    assert ours.result.steps == 12
    assert (ours.result.train_images, ours.result.val_images) == (240, 60)
    assert ours.images_seen == 12 * 64


def test_figures_are_those_of_the_best_validation(plan_file: Path, one_thread: None) -> None:
    resolved = resolved_plan_of(plan_file, "--steps=12", "--validate_every=3")
    finished = train(resolved, Job("CNN", 60, 0, 0.005), Digits())
    log = [line.split() for line in finished.files["log.txt"].decode().splitlines()]
    best = max(log, key=lambda options: (float(options[3]), -int(options[1])))
    assert [int(options[1]) for options in log] == [3, 6, 9, 12]
    assert finished.result.best_step == int(best[1])
    assert finished.result.val_error == pytest.approx(1 - float(best[3]), abs=1e-4)
    assert finished.result.val_loss == pytest.approx(float(best[5]), abs=1e-4)
    assert "best.ckpt" in finished.files  # 60 is this plan's largest size
    assert "best.ckpt" not in train(resolved, Job("CNN", 30, 0, 0.005), Digits()).files


def test_calibration_error_is_the_one_of_the_model_card(plan_file: Path, one_thread: None) -> None:
    from vitrail.exporting.calibration import calibration_error

    resolved = resolved_plan_of(plan_file, "--steps=12", "--validate_every=3")
    finished = train(resolved, Job("CNN", 60, 0, 0.005), Digits())
    path = plan_file.with_name("predictions.npz")
    path.write_bytes(finished.files["predictions.npz"])
    with np.load(path) as saved:
        expected = calibration_error(np.log(saved["probabilities"]), saved["labels"], 1.0)
    assert finished.result.calibration_error == pytest.approx(expected, abs=1e-5)


def test_validations_grow_with_the_steps_of_a_run(plan_file: Path, one_thread: None) -> None:
    resolved = resolved_plan_of(plan_file, "--mode=trained-out", "--steps=12", "--validate_every=3")
    whole = train(resolved, Job("CNN", 60, 0, 0.005, steps=48), Digits())
    log = whole.files["log.txt"].decode().splitlines()
    assert whole.result.steps == 48
    assert [int(line.split()[1]) for line in log] == [12, 24, 36, 48]


@pytest.mark.parametrize(
    ("scores", "stops"),
    [
        ([(0.5, 1.0), (0.5, 1.0), (0.5, 1.0), (0.4, 1.1)], [False, False, False, True]),
        ([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.5, 0.9), (0.5, 0.9)], [False, False, False, False, True]),
        ([(0.5, 1.0), (0.5, 1.0), (0.5, 1.0), (0.6, 1.1), (0.6, 1.1)], [False] * 5),
    ],
)
def test_half_of_the_validations_without_a_gain_end_a_run(scores: list[tuple[float, float]], stops: list[bool]) -> None:
    """A gain of accuracy or of loss counts, compared with the best so far."""
    stop, trainer, stopped = StopOnPlateau(validations=6), SimpleNamespace(should_stop=False), []
    for accuracy, loss in scores:
        trainer.callback_metrics = {"val_accuracy": accuracy, "val_loss": loss}
        stop.on_validation_end(cast(pl.Trainer, trainer), cast(pl.LightningModule, None))
        stopped.append(trainer.should_stop)
    assert stopped == stops


def test_equal_epochs_ends_early_without_a_gain(plan_file: Path, one_thread: None) -> None:
    """A rate much too high soon gains nothing."""
    options = ["--mode=equal-epochs", "--epochs=30", "--patience=2", "--contenders.CNN.optimizer.init_args.lr=1"]
    resolved = resolved_plan_of(plan_file, "--sizes=[60, 300]", *options)
    finished = train(resolved, Job("CNN", 300, 0, 1.0), Digits())
    steps_an_epoch = 240 // 64
    assert finished.result.steps % steps_an_epoch == 0
    assert 3 * steps_an_epoch <= finished.result.steps < 30 * steps_an_epoch
