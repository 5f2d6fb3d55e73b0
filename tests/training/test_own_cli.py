"""A LightningModule of the user's own, on images and on batches of its own: fit, test, export, or refused with why."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback

from vitrail.cli import main
from vitrail.models.checkpoint import load_checkpoint

SHORT = ["--trainer.max_steps=16", "--trainer.accelerator=cpu"]
IMAGES = ["--data.path=digits", "--data.size=16", *SHORT]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with own_module.py in it, which is not importable otherwise."""
    shutil.copy(Path(__file__).with_name("own_module.py"), tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("mine", None)


def fit(*options: str) -> int:
    return main(["fit", "--run=run", *options])


class StopAt(Callback):
    """Ends the process' run as a system that shuts down does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGTERM)


def weights(path: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_a_module_on_images_is_trained_tested_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--model=mine.Classifier", "--model.width=6", *IMAGES) == 0
    assert "next: vitrail test --ckpt_path run/network/best.ckpt" in capsys.readouterr().out
    assert main(["test", "--ckpt_path=run/checkpoints/best.ckpt"]) == 0
    own = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert main(["test", "--ckpt_path=run/network/best.ckpt"]) == 0
    assert f"top-1     {own['test_acc']} " in capsys.readouterr().out
    assert np.load("run/network/predictions.npz")["probabilities"].shape == (359, 10)
    assert main(["export", "--checkpoint=run/network/best.ckpt", "--output=model.onnx"]) == 0
    assert main(["verify", "model.onnx"]) == 0


def test_the_network_of_a_run_is_that_of_its_best_checkpoint(folder: Path) -> None:
    assert fit("--model=mine.Classifier", *IMAGES) == 0
    origin, network = load_checkpoint("run/network/best.ckpt")
    best = weights("run/checkpoints/best.ckpt")
    assert network.keys() == {f"network.{name}" for name in best}
    assert all(torch.equal(network[f"network.{name}"], one) for name, one in best.items())
    plain = {"class_path": "mine.Classifier", "init_args": {"width": 4, "lr": 0.01}}
    assert origin.architecture.to_plain() == plain
    assert len(origin.classes) == 10


def test_its_checkpoint_says_where_the_network_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--model=mine.Classifier", *IMAGES) == 0
    assert main(["export", "--checkpoint=run/checkpoints/best.ckpt"]) == 1
    assert "the network of its run is written at its end, as run/network/best.ckpt" in capsys.readouterr().err


def test_the_best_checkpoint_is_chosen_by_the_logged_loss(folder: Path) -> None:
    assert fit("--model=mine.Classifier", *IMAGES) == 0
    content = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    state = content["callbacks"]["BestOfLogged"]
    assert (state["monitor"], state["mode"]) == ("val_loss", "min")


@pytest.mark.parametrize(
    "whole",
    [["--model=mine.Classifier", *IMAGES], ["--model=mine.OfRows", "--data=mine.Rows", *SHORT]],
    ids=["images", "batches of one's own"],
)
def test_a_resumed_run_is_the_uninterrupted_one(whole: list[str], folder: Path) -> None:
    """Stopped in the middle of an epoch, with dropout, or with batches that are drawn at random."""
    assert main(["fit", "--run=whole", *whole]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrail.training.run_cli.progress", lambda: [StopAt(9)])
        assert fit(*whole) == 1
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 9
    assert fit("--resume", *whole) == 0
    here, there = weights("run/checkpoints/last.ckpt"), weights("whole/checkpoints/last.ckpt")
    assert all(torch.equal(one, there[name]) for name, one in here.items())


def test_optimizer_and_schedule_are_given_as_in_lightnings_cli(folder: Path) -> None:
    options = ["--optimizer=SGD", "--optimizer.lr=0.1", "--lr_scheduler=ExponentialLR", "--lr_scheduler.gamma=0.5"]
    assert fit("--model=mine.WithoutOptimizer", *options, *IMAGES) == 0
    content = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert content["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.1 * 0.5**2)  # two epochs


def test_hyperparameters_in_a_checkpoint_do_not_replace_the_command_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model=mine.Classifier", "--model.width=6", *IMAGES) == 0
    assert main(["test", "--ckpt_path=run/checkpoints/best.ckpt", "--model.lr=0.5"]) == 0
    assert main(["test", "--ckpt_path=run/checkpoints/best.ckpt", "--model.width=4"]) == 2
    assert "of another model than the one that is given: size mismatch for net.0.weight" in capsys.readouterr().err


def test_a_network_that_cannot_be_made_again_is_said_to_be_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model=mine.Odd", *IMAGES) == 0
    assert "not exported by vitrail: it gives other outputs when it is made again" in capsys.readouterr().out
    assert not Path("run/network").exists()


def test_batches_of_ones_own_are_trained_on_and_not_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--model=mine.OfRows", "--data=mine.Rows", "--data.count=32", *SHORT) == 0
    said = "mine.OfRows is trained on batches of its own, and a model file takes images"
    assert said in capsys.readouterr().out
    assert main(["export", "--checkpoint=run/checkpoints/last.ckpt"]) == 1
    assert said in capsys.readouterr().err
    assert yaml.safe_load(Path("run/config.yaml").read_text())["data"]["init_args"]["count"] == 32


def test_a_module_with_its_own_loader_needs_no_data(folder: Path) -> None:
    assert fit("--model=mine.WithLoader", *SHORT) == 0
    assert weights("run/checkpoints/last.ckpt")["layer.weight"].shape == (2, 8)


def test_predictions_of_ones_own_are_written(folder: Path) -> None:
    assert fit("--model=mine.Classifier", *IMAGES) == 0
    assert main(["predict", "--ckpt_path=run/checkpoints/best.ckpt"]) == 0
    assert sum(len(one) for one in torch.load("run/predictions.pt", weights_only=True)) == 359


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data=mine.Rows", "--model.net=vitrail.models.CNN"], "mine.Rows gives batches of its own"),
        (["--data=digits", "--model.net=vitrail.models.CNN"], "images are given by --data.path"),
        (["--model=mine.Rows"], "mine has no such LightningModule"),
        (["--model=nowhere.Module"], "cannot be imported here"),
        (["--model=mine.OfRows", "--data=mine.Rows", "--trainer.max_steps=auto"], "auto counts vitrail's images"),
        (["--model=mine.Classifier", "--model.depth=3"], "depth"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--trainer.accelerator=cpu", *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not Path("run").exists()
