"""Tests of `auto`: steps and validations by the number of training images, which the run keeps from then on."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vitrail.cli import main
from vitrail.training.length import described, images_a_step, resolved, steps_for
from vitrail.training.recipes import recipes
from vitrail.training.schedule import WarmupCosine

TINY = [
    *("--config=small-vit", "--data.path=digits", "--data.size=8", "--data.images=100", "--data.augment=null"),
    *("--model.net.stem=patches", "--model.net.width=8", "--model.net.depth=1", "--model.net.heads=1"),
]
OPTIONS = {
    "max_steps": "auto",
    "val_check_interval": "auto",
    "check_val_every_n_epoch": None,
    "accumulate_grad_batches": 1,
}


@pytest.mark.parametrize(
    ("images", "fine_tuning", "from_scratch"),
    [(1, 300, 1000), (160, 300, 1000), (1600, 300, 1000), (16_000, 2500, 7500), (160_000, 25_000, 75_000)],
)
def test_the_length_grows_with_the_images(images: int, fine_tuning: int, from_scratch: int) -> None:
    assert steps_for(images, 64, is_pretrained=True) == fine_tuning
    assert steps_for(images, 64, is_pretrained=False) == from_scratch


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({}, {"max_steps": 2500, "val_check_interval": 250}),
        ({"accumulate_grad_batches": 2}, {"max_steps": 1250, "val_check_interval": 250}),
        ({"val_check_interval": 100}, {"max_steps": 2500}),
        ({"max_steps": 600}, {"val_check_interval": 60}),
        ({"max_steps": 3}, {"val_check_interval": 1}),
        ({"max_steps": -1}, {"val_check_interval": 250}),
        ({"check_val_every_n_epoch": 1}, {"max_steps": 2500, "val_check_interval": 250}),
        ({"max_steps": 600, "check_val_every_n_epoch": 1}, {"val_check_interval": 250}),
        ({"max_steps": 600, "val_check_interval": 100}, {}),
        ({"max_steps": 600, "val_check_interval": 0.5}, {}),
    ],
)
def test_only_auto_is_replaced(given: dict[str, Any], numbers: dict[str, int]) -> None:
    assert resolved({**OPTIONS, **given}, 16_000, 64, world=1, is_pretrained=True) == numbers


@pytest.mark.parametrize(
    ("world", "given", "numbers", "together"),
    [
        (2, {}, {"max_steps": 1250, "val_check_interval": 125}, 128),
        (8, {}, {"max_steps": 312, "val_check_interval": 31}, 512),
        (4, {"accumulate_grad_batches": 2}, {"max_steps": 312, "val_check_interval": 62}, 512),
        (2, {"max_steps": -1}, {"val_check_interval": 125}, 128),
    ],
)
def test_several_processes_take_as_many_epochs_in_fewer_steps(
    world: int, given: dict[str, Any], numbers: dict[str, int], together: int
) -> None:
    options = {**OPTIONS, **given}
    assert resolved(options, 16_000, 64, world, is_pretrained=True) == numbers
    assert images_a_step(options, 16_000, 64, world) == together


def test_a_batch_is_never_larger_than_the_share_of_a_process() -> None:
    assert images_a_step(OPTIONS, 100, 64, 1) == 64
    assert images_a_step(OPTIONS, 100, 64, 2) == 100
    assert images_a_step(OPTIONS, 100, 64, 4) == 100
    assert images_a_step(OPTIONS, 40, 64, 1) == 40


def test_the_line_of_a_run() -> None:
    assert described(1875, 4000, 64) == "max_steps auto: 1,875 steps of 64 images, 30.0 epochs"


def test_recipes_for_ones_own_images_have_no_length_of_their_own() -> None:
    trainers = {name: yaml.safe_load(Path(path).read_text())["trainer"] for name, path in recipes().items()}
    automatic = {name for name, trainer in trainers.items() if trainer["max_steps"] == "auto"}
    assert automatic == {name for name in trainers if name.startswith(("images-", "small-"))}
    assert all((trainers[name]["val_check_interval"] == "auto") == (name in automatic) for name in trainers)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `auto` that is stopped after its first validation."""
    run = tmp_path_factory.mktemp("auto") / "run"
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=train_loss"]
    stop += ["--trainer.callbacks.stopping_threshold=100", "--trainer.callbacks.check_on_train_epoch_end=false"]
    assert main(["fit", *TINY, *stop, "--trainer.val_check_interval=20", f"--run={run}"]) == 0
    return run


def test_a_run_keeps_its_number_and_is_resumed_with_its_schedule(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_steps"] == 1000
    last = run / "checkpoints/last.ckpt"
    content = torch.load(last, weights_only=True)
    assert content["global_step"] == 20
    rate = 0.02 * WarmupCosine().factor(20, 1000)
    assert max(group["lr"] for group in content["optimizer_states"][0]["param_groups"]) == pytest.approx(rate)
    capsys.readouterr()
    for argv in ([*TINY], ["--trainer.max_steps=auto"]):
        assert main(["fit", *argv, f"--ckpt_path={last}", f"--run={tmp_path / 'on'}"]) == 2
        assert "max_steps was 1000 and is now auto: leave --config out" in capsys.readouterr().err
    shorter = [f"--ckpt_path={last}", "--trainer.max_steps=24", "--trainer.callbacks=[]", f"--run={tmp_path / 'on'}"]
    assert main(["fit", *shorter]) == 0
    assert torch.load(tmp_path / "on/checkpoints/last.ckpt", weights_only=True)["global_step"] == 24


def test_a_number_on_the_command_line_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *TINY, "--trainer.max_steps=20", f"--run={tmp_path / 'run'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("max_steps auto") for line in lines)
    steps = [line.split()[1] for line in lines if line.startswith("step ")]
    assert steps == [f"{step}/20" for step in range(2, 22, 2)]
    trainer = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["trainer"]
    assert (trainer["max_steps"], trainer["val_check_interval"]) == (20, 2)


def test_epochs_in_place_of_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epochs = ["--trainer.max_steps=-1", "--trainer.max_epochs=3", "--data.batch_size=40"]
    assert main(["fit", *TINY, *epochs, f"--run={tmp_path / 'run'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("step ")] == ["2/6", "4/6", "6/6"]


def test_a_checkpoint_is_tested_with_a_recipe(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["test", *TINY, f"--ckpt_path={run / 'checkpoints/last.ckpt'}"]) == 0
    assert "max_steps" not in capsys.readouterr().out
