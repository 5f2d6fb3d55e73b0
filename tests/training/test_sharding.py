"""FSDP on two CPU processes: the steps of DDP, and checkpoints that all commands read, in one process or in several."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitrail.cli import main
from vitrail.models import ViT
from vitrail.training.sharding import blocks_of, named, numbered

from .test_ranks import command

FIT = [
    *("fit", "--config=digits-vit", "--data.batch_size=32", "--data.images=200", "--trainer.val_check_interval=null"),
    *("--trainer.check_val_every_n_epoch=1", "--trainer.devices=2", "--trainer.accelerator=cpu"),
    *("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.1", "--model.optimizer.momentum=0.9"),
]
ONE = ["--trainer.devices=1", "--trainer.strategy=auto"]


def run(folder: Path, *options: str) -> str:
    done = command(folder, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def last(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)
    return content


def assert_alike(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Weights, and the state of the optimizer, parameter by parameter."""
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.allclose(value, second["state_dict"][name], atol=1e-5), name
    one, other = (content["optimizer_states"][0] for content in (first, second))
    assert [group["params"] for group in one["param_groups"]] == [group["params"] for group in other["param_groups"]]
    assert one["state"].keys() == other["state"].keys()
    for number, state in one["state"].items():
        assert torch.allclose(state["momentum_buffer"], other["state"][number]["momentum_buffer"], atol=1e-5), number


@pytest.mark.long
def test_two_processes_write_a_whole_checkpoint_that_one_process_tests_and_exports(tmp_path: Path) -> None:
    lines = run(tmp_path, *FIT, "--trainer.strategy=fsdp", "--trainer.max_steps=6", "--run=run").splitlines()
    assert len(lines) == len(set(lines))
    content = last(tmp_path, "run")
    assert all(type(value) is Tensor for value in content["state_dict"].values())
    assert "359 images" in run(tmp_path, "test", "--ckpt_path=run/checkpoints/last.ckpt", *ONE)


@pytest.mark.long
def test_the_steps_are_those_of_ddp_and_each_resumes_the_other(tmp_path: Path) -> None:
    for strategy in ("ddp", "fsdp"):
        run(tmp_path, *FIT, f"--trainer.strategy={strategy}", "--trainer.max_steps=6", f"--run={strategy}")
    assert_alike(last(tmp_path, "ddp"), last(tmp_path, "fsdp"))
    for before, now in (("ddp", "ddp"), ("ddp", "fsdp"), ("fsdp", "ddp"), ("fsdp", "fsdp")):
        checkpoint = f"--ckpt_path={before}/checkpoints/last.ckpt"
        resumed = [f"--trainer.strategy={now}", "--trainer.max_steps=12", f"--run={before}-{now}"]
        run(tmp_path, "fit", checkpoint, *resumed)
    for other in ("ddp-fsdp", "fsdp-ddp", "fsdp-fsdp"):
        assert_alike(last(tmp_path, "ddp-ddp"), last(tmp_path, other))
    two = run(tmp_path, "test", "--ckpt_path=fsdp/checkpoints/last.ckpt")
    assert two == run(tmp_path, "test", "--ckpt_path=fsdp/checkpoints/last.ckpt", *ONE)
    exported = run(tmp_path, "export", "--checkpoint=fsdp/checkpoints/last.ckpt", "--output=model.onnx")
    assert "0 predictions changed" in exported


def test_blocks_are_those_of_a_vit_and_not_their_layers() -> None:
    network = ViT(width=8, depth=3, heads=1, patch=4).build(classes=2, image_size=8)
    blocks = blocks_of(network)
    assert set(map(id, network.blocks)) <= set(map(id, blocks))  # type: ignore[arg-type]
    inside = {id(one) for block in network.blocks for one in block.modules()} - set(map(id, network.blocks))  # type: ignore[arg-type, union-attr]
    assert not inside & set(map(id, blocks))


def test_parameters_are_numbered_group_by_group_and_named_again() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights, biases = [model[0].weight, model[1].weight], [model[0].bias, model[1].bias]
    optimizer = torch.optim.SGD([{"params": biases}, {"params": weights}], lr=0.1)
    by_network = {
        "state": {0: "0.weight", 1: "0.bias", 2: "1.weight", 3: "1.bias"},
        "param_groups": [{"params": [1, 3]}, {"params": [0, 2]}],
    }
    by_group = numbered(by_network)
    assert by_group["param_groups"] == [{"params": [0, 1]}, {"params": [2, 3]}]
    assert by_group["state"] == {0: "0.bias", 1: "1.bias", 2: "0.weight", 3: "1.weight"}
    again = named(by_group, optimizer, model)
    assert again["state"] == {name: name for name in ("0.bias", "1.bias", "0.weight", "1.weight")}
    assert [group["params"] for group in again["param_groups"]] == [["0.bias", "1.bias"], ["0.weight", "1.weight"]]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model.lora={rank: 2, alpha: 4}"], "LoRA trains few: choose ddp"),
        (
            ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"],
            "choose ddp, not fsdp",
        ),
    ],
)
def test_what_needs_whole_weights_is_refused(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = ["--trainer.max_steps=-1", "--trainer.max_epochs=3"]
    assert main([*FIT, *epochs, "--trainer.strategy=fsdp", f"--run={tmp_path / 'run'}", *options]) == 2
    assert reason in capsys.readouterr().err
