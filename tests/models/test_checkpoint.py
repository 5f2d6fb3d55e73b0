"""Checkpoints: with names of torch.compile, with averaged weights, and files that are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from vitrail.errors import ModelError
from vitrail.models.checkpoint import read_checkpoint


@pytest.fixture
def content(checkpoint: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    return content


def saved(content: dict[str, Any], folder: Path) -> Path:
    torch.save(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_prefixes_of_torch_compile_are_removed(checkpoint: Path, content: dict[str, Any], tmp_path: Path) -> None:
    compiled = {key.replace("net.", "net._orig_mod.", 1): value for key, value in content["state_dict"].items()}
    network, _ = read_checkpoint(saved({**content, "state_dict": compiled}, tmp_path))
    expected, _ = read_checkpoint(checkpoint)
    pixels = torch.randn(2, 3, 8, 8)
    assert torch.equal(network(pixels), expected(pixels))


def test_another_format_is_refused_with_the_way_out(content: dict[str, Any], tmp_path: Path) -> None:
    content["vitrail"]["format"] = 7
    with pytest.raises(ModelError, match=r"format 7, this vitrail reads format 1: train again"):
        read_checkpoint(saved(content, tmp_path))


def test_a_checkpoint_without_a_task_is_of_classification(content: dict[str, Any], tmp_path: Path) -> None:
    del content["vitrail"]["task"]
    assert read_checkpoint(saved(content, tmp_path))[1].task == "classification"


def test_weights_that_do_not_fit_the_architecture_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["vitrail"]["classes"] = ["cat", "dog"]
    with pytest.raises(ModelError, match="do not fit its architecture"):
        read_checkpoint(saved(content, tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("vitrail"),
        lambda content: content.pop("state_dict"),
        lambda content: content["vitrail"].pop("run_data"),
        lambda content: content["vitrail"]["architecture"].update(class_path="vitrail.models.Unknown"),
        lambda content: content["vitrail"]["architecture"]["init_args"].update(width_of_dreams=3),
    ],
)
def test_a_file_not_written_by_fit_is_refused(content: dict[str, Any], tmp_path: Path, change: Any) -> None:
    change(content)
    with pytest.raises(ModelError, match="not a checkpoint written by `vitrail fit`"):
        read_checkpoint(saved(content, tmp_path))


@pytest.mark.parametrize(("length", "reason"), [(0, "is not a checkpoint"), (1000, "is damaged: its end is missing")])
def test_a_truncated_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, length: int, reason: str) -> None:
    (tmp_path / "cut.ckpt").write_bytes(checkpoint.read_bytes()[:length])
    with pytest.raises(ModelError, match=reason):
        read_checkpoint(tmp_path / "cut.ckpt")


def test_averaged_weights_are_preferred_to_raw_ones(content: dict[str, Any], tmp_path: Path) -> None:
    raw = {key: value + 1 if value.is_floating_point() else value for key, value in content["state_dict"].items()}
    network, origin = read_checkpoint(saved({**content, "current_model_state": raw}, tmp_path))
    assert origin.averaged
    assert torch.equal(network.state_dict()["head.weight"], content["state_dict"]["net.head.weight"])
    assert not read_checkpoint(saved(content, tmp_path))[1].averaged


def test_a_checkpoint_of_lightnings_averaging_is_marked(tmp_path: Path) -> None:
    """Chosen on the command line; the weights differ from those of the same run without it."""
    from vitrail.cli import main

    averaging = "--trainer.callbacks+=pytorch_lightning.callbacks.EMAWeightAveraging"
    steps = ["--trainer.max_steps=20", "--trainer.val_check_interval=20"]
    heads = []
    for name, options in (("averaged", [averaging]), ("plain", [])):
        assert main(["fit", "--config", "digits-cnn", f"--run={tmp_path / name}", *options, *steps]) == 0
        network, origin = read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        assert origin.averaged is (name == "averaged")
        heads.append(network.state_dict()["head.weight"])
    averaged, plain = heads
    assert not torch.allclose(averaged, plain, atol=1e-3)
