"""Head first, then the whole network: what changes at which step, and resuming on both sides of the thaw."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models import CNN
from vitrail.training.data_module import ImageDataModule
from vitrail.training.freezing import FreezeThenThaw
from vitrail.training.module import ImageModule
from vitrail.training.runs import bare_trainer

State = dict[str, Tensor]
FREEZING = ["--trainer.callbacks+=vitrail.training.freezing.FreezeThenThaw", "--trainer.callbacks.share=0.4"]
FAST = ["--config", "digits-cnn", "--trainer.max_steps=20", "--trainer.val_check_interval=10", "--data.images=200"]


def copied(state: State) -> tuple[State, State]:
    """Copies of the weights and buffers of the backbone, and of those of the head."""
    copies = {name: tensor.clone() for name, tensor in state.items()}
    heads = {name for name in copies if name.startswith("head.")}
    return {name: copies[name] for name in copies.keys() - heads}, {name: copies[name] for name in heads}


def equal(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


class Watch(Callback):
    """Notes the network after each step, and whether its backbone had gradients."""

    def __init__(self) -> None:
        self.states: list[tuple[State, State]] = []
        self.with_gradients: list[int] = []
        self.training: list[set[bool]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.states.append(copied(pl_module.net.state_dict()))

    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        backbone = [one for name, one in pl_module.net.named_parameters() if not name.startswith("head.")]
        self.with_gradients.append(sum(one.grad is not None for one in backbone))
        self.training.append({one.training for one in pl_module.net.modules() if isinstance(one, nn.BatchNorm2d)})

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
        self.states.append(copied(pl_module.net.state_dict()))


def fitted(*callbacks: Callback, steps: int = 10, **options: Any) -> ImageModule:
    torch.manual_seed(0)
    module = ImageModule(CNN(width=8, stages=2, blocks=1), 10, 8)
    data = ImageDataModule(images=100, size=8, batch_size=16)
    bare_trainer([*callbacks], max_steps=steps, **options).fit(module, data)
    return module


def test_the_backbone_keeps_every_bit_until_it_thaws() -> None:
    """Weights, which AdamW would decay, and the statistics of BatchNorm; a validation in between changes nothing."""
    watch = Watch()
    module = fitted(FreezeThenThaw(0.6), watch, val_check_interval=2, check_val_every_n_epoch=None)
    (start, _), *_ = watch.states
    assert any("running_mean" in name for name in start)
    assert [equal(backbone, start) for backbone, _ in watch.states] == [True] * 7 + [False] * 4
    heads = [head for _, head in watch.states]
    assert not any(equal(one, other) for one, other in zip(heads[1:], heads[:-1], strict=True))
    parameters = sum(not name.startswith("head.") for name, _ in module.net.named_parameters())
    assert watch.with_gradients == [0] * 6 + [parameters] * 4
    assert watch.training == [{False}] * 6 + [{True}] * 4
    last, before = watch.states[-1][0], watch.states[-2][0]
    assert not any(torch.equal(last[name], before[name]) for name in last)


def test_a_share_of_one_trains_the_head_alone_and_leaves_the_network_as_it_was() -> None:
    watch = Watch()
    module = fitted(FreezeThenThaw(1.0), watch, steps=4)
    assert equal(watch.states[-1][0], watch.states[0][0])
    assert all(one.requires_grad for one in module.net.parameters())


def test_steps_of_accumulated_gradients_are_counted_as_one() -> None:
    """Five batches an epoch make three steps: it thaws with the fifth batch."""
    watch = Watch()
    fitted(FreezeThenThaw(0.5), watch, steps=4, accumulate_grad_batches=2)
    assert [equal(backbone, watch.states[0][0]) for backbone, _ in watch.states] == [True] * 5 + [False] * 3


def test_what_was_frozen_already_stays_so() -> None:
    network: Any = CNN(width=8, stages=1, blocks=1).build(3, 8, "classification")
    first, *others = [one for name, one in network.named_parameters() if not name.startswith("head.")]
    first.requires_grad_(False)
    callback = FreezeThenThaw(0.5)
    callback.freeze(network)
    assert not any(one.requires_grad for one in (first, *others))
    callback.thaw()
    assert not first.requires_grad
    assert all(one.requires_grad for one in others)


def weights(run: Path) -> State:
    state: State = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def saving(folder: Path, every: int) -> list[str]:
    """Options that keep a checkpoint of every so many steps."""
    keep = ["pytorch_lightning.callbacks.ModelCheckpoint", f"every_n_train_steps={every}", "save_top_k=-1"]
    first, *others = [*keep, "filename={step}", f"dirpath={folder}"]
    return [f"--trainer.callbacks+={first}", *(f"--trainer.callbacks.{other}" for other in others)]


def test_a_resumed_run_equals_an_uninterrupted_one_before_and_after_the_thaw(tmp_path: Path) -> None:
    assert main(["fit", *FAST, f"--run={tmp_path / 'whole'}", *FREEZING, *saving(tmp_path / "steps", 5)]) == 0
    whole = weights(tmp_path / "whole")
    for step in (5, 10):
        run, checkpoint = tmp_path / f"from-{step}", tmp_path / f"steps/step={step}.ckpt"
        assert main(["fit", *FAST, f"--run={run}", f"--ckpt_path={checkpoint}", *FREEZING]) == 0
        assert equal(whole, weights(run))


def test_a_lengthened_run_does_not_freeze_again(tmp_path: Path) -> None:
    """It thawed after 8 of 20 steps; of 60 steps 24 would be frozen."""
    assert main(["fit", *FAST, f"--run={tmp_path / 'run'}", *FREEZING]) == 0
    last = tmp_path / "run/checkpoints/last.ckpt"
    before = torch.load(last, weights_only=True)["state_dict"]
    lengthened = [f"--ckpt_path={last}", f"--run={tmp_path / 'on'}", "--trainer.max_steps=60"]
    assert main(["fit", *lengthened, *saving(tmp_path / "steps", 22)]) == 0
    after = torch.load(tmp_path / "steps/step=22.ckpt", weights_only=True)["state_dict"]
    assert not torch.equal(before["net.stem.0.weight"], after["net.stem.0.weight"])


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_is_above_zero_and_at_most_one(share: float) -> None:
    with pytest.raises(UsageError, match=f"above 0 and at most 1, not {share}"):
        FreezeThenThaw(share)


def test_several_processes_are_refused() -> None:
    trainer: Any = SimpleNamespace(world_size=2)
    with pytest.raises(UsageError, match=r"give --trainer\.devices 1"):
        FreezeThenThaw(0.5).setup(trainer, pl.LightningModule(), "fit")
    FreezeThenThaw(0.5).setup(trainer, pl.LightningModule(), "test")
