"""Muon: which part of it updates each parameter, by name; its steps are torch's; a schedule scales both rates."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitrail.cli import main
from vitrail.models import CNN, Architecture, ViT
from vitrail.tasks.task import TaskName
from vitrail.training.module import ImageModule
from vitrail.training.muon import Muon, muon_groups
from vitrail.training.schedule import WarmupCosine

# The rule of the test knows names alone, the code modules and shapes alone.
BY_MUON = r"""
    patch_embed\.proj\.weight
    patch_embed\.backbone\.([037]|[3-9]\.(conv[12]|downsample\.0))\.weight
    blocks\.\d+\.attn\.(qkv|proj)\.weight
    blocks\.\d+\.(mlp|before|after)\.fc[12]\.weight
    blocks\.\d+\.convolution\.(widen|project)\.weight
    attn_pool\.(q|kv|proj|mlp\.fc[12])\.weight
    stem\.0\.weight
    stages\.\d\.(conv[12]\.|downsample\.0\.)?weight
    conv1\.weight  layer\d\.\d\.(conv[12]|downsample\.0)\.weight
"""
BY_ADAMW = r"""
    (.*[._])?bias
    (.*\.)?\w*norm\d?\.weight
    patch_embed\.backbone\.([148]|[3-9]\.(bn[12]|downsample\.1))\.weight
    pos_embed  (cls|dist)_token  attn_pool\.latent  head_dist\.weight
    head\.(.*\.)?weight  head\.(queries|places|labels)  head\.decoder\.layers\.\d\..*_weight
    fc\.weight
    blocks\.\d+\.attn\.positions\.(table|flow\.(inner|outer)\.\d\.weight|starts)
    blocks\.\d+\.(positions|convolution)\.depthwise\.weight
    stem\.1\.weight  (.*\.)?positions\.(centre|sharpness)
    stages\.\d\.(bn[12]|downsample\.1)\.weight
    bn1\.weight  layer\d\.\d\.(bn[12]|downsample\.1)\.weight
"""
NORMS_OF_POOLED = r"stages\.[16]\.weight"


def small(**parts: Any) -> ViT:
    return ViT(patch=2, width=16, depth=2, heads=4, **parts)


NETWORKS: list[tuple[Architecture, TaskName, int]] = [
    (small(), "classification", 8),
    (small(stem="conv", positions="conditional", start="xavier"), "classification", 8),
    (small(stem="overlapping"), "classification", 8),
    (small(stem="hybrid"), "classification", 8),
    (small(pool="map", positions="relative"), "classification", 8),
    (small(pool="token", positions="floater", head="cosine"), "classification", 8),
    (small(block="conformer", norm="batch"), "regression", 8),
    (small(head="set"), "multilabel", 8),
    (small(head="autoregressive"), "sequence", 8),
    (small(), "dense", 8),
    (ViT(name="deit_tiny_distilled_patch16_224"), "classification", 32),
    (CNN(width=8, stages=2, blocks=1), "classification", 8),
    (CNN(width=8, stages=2, blocks=1, layers="attention"), "classification", 8),
    (CNN(width=8, stages=2, blocks=1, downsampling="pool"), "classification", 8),
    (CNN(name="resnet18"), "classification", 32),
]


def matches(name: str, patterns: str) -> bool:
    return any(re.fullmatch(one, name) for one in patterns.split())


@pytest.mark.parametrize(("architecture", "task", "size"), NETWORKS, ids=str)
def test_matrices_and_kernels_are_muons_and_the_rest_is_adamws(
    architecture: Architecture, task: TaskName, size: int
) -> None:
    network = architecture.build(3, size, task)
    groups = Muon(muon_groups(network, 0.05)).param_groups
    chosen = {id(one): group["use_muon"] for group in groups for one in group["params"]}
    pooled = getattr(architecture, "downsampling", "stride") == "pool"
    for name, parameter in network.named_parameters():
        is_norm = pooled and matches(name, NORMS_OF_POOLED)
        by_muon, by_adamw = matches(name, BY_MUON) and not is_norm, matches(name, BY_ADAMW) or is_norm
        assert by_muon != by_adamw, name
        assert chosen[id(parameter)] == by_muon, name


class Small(nn.Module):
    """A kernel, a matrix, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kernel = nn.Conv2d(3, 8, 3)
        self.wide = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 5)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.norm(self.wide(self.kernel(x).mean(dim=(2, 3)))))
        return outputs


def train(network: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 4) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(16, 3, 8, 8, generator=generator)
        network.zero_grad()
        network(x).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()


class Unfolded(nn.Module):
    """The same network with its kernel as a matrix, which is all that torch.optim.Muon takes."""

    def __init__(self) -> None:
        super().__init__()
        own = Small()
        self.kernel = nn.Parameter(own.kernel.weight.detach().flatten(1))
        self.bias, self.wide, self.norm, self.head = own.kernel.bias, own.wide, own.norm, own.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        convolved = nn.functional.conv2d(x, self.kernel.view(8, 3, 3, 3), self.bias)
        outputs: torch.Tensor = self.head(self.norm(self.wide(convolved.mean(dim=(2, 3)))))
        return outputs


def test_its_steps_are_those_of_torchs_muon_and_adamw() -> None:
    ours, theirs = Small(), Unfolded()
    train(ours, Muon(muon_groups(ours, 0.5), lr=0.02))
    matrices = [theirs.kernel, theirs.wide.weight]
    decayed = {id(one) for one in (*matrices, theirs.head.weight)}
    others = [one for one in theirs.parameters() if id(one) not in decayed]
    train(
        theirs,
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.5),
        torch.optim.AdamW([theirs.head.weight], lr=0.002, weight_decay=0.5, eps=1e-7),
        torch.optim.AdamW(others, lr=0.002, weight_decay=0.0, eps=1e-7),
    )
    expected = dict(theirs.named_parameters())
    torch.testing.assert_close(ours.kernel.weight.flatten(1), expected["kernel"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.kernel.bias, expected["bias"], atol=1e-6, rtol=1e-5)
    for name, parameter in ours.named_parameters():
        if not name.startswith("kernel."):
            torch.testing.assert_close(parameter, expected[name], atol=1e-6, rtol=1e-5)


def test_without_weight_decay_matrices_are_still_muons() -> None:
    first, *_ = muon_groups(Small(), 0.0)
    assert [tuple(one.shape) for one in first["params"]] == [(8, 3, 3, 3), (24, 8)]


def test_a_schedule_scales_both_rates() -> None:
    """At a tenth of the peak, each parameter's first step is a tenth as long."""
    lengths = []
    for floor in (1.0, 0.1):
        network = Small()
        before = [one.detach().clone() for one in network.parameters()]
        optimizer = Muon(muon_groups(network, 0.05))
        WarmupCosine(warmup=0.0, floor=floor).attach(optimizer, steps=1).step()
        train(network, optimizer, steps=1)
        lengths.append([(one - old).norm().item() for one, old in zip(network.parameters(), before, strict=True)])
    assert lengths[0] == pytest.approx([10 * length for length in lengths[1]], rel=1e-3)


def test_decayed_and_excluded_parameters_stay_apart() -> None:
    network = Small()
    groups = Muon(muon_groups(network, 0.3)).param_groups
    decay = {id(one): group["weight_decay"] for group in groups for one in group["params"]}
    decayed = {name for name, one in network.named_parameters() if decay[id(one)] == 0.3}
    assert decayed == {"kernel.weight", "wide.weight", "head.weight"}
    assert len(decay) == len(list(network.parameters()))


def test_the_module_gives_it_groups_and_any_other_optimizer_two() -> None:
    module = ImageModule(small(), 3, 8, optimizer=Muon)
    assert (module.is_muon, module.lr, module.decay) == (True, 0.02, 0.05)
    assert not ImageModule(small(), 3, 8).is_muon


FIT = [
    *("fit", "--config=digits-vit", "--data.images=200", "--model.net.depth=1", "--model.net.width=16"),
    *("--model.optimizer=vitrail.training.muon.Muon", "--model.optimizer.lr=0.02", "--model.optimizer.adamw=0.2"),
    *("--model.statistics=images", "--trainer.max_steps=8", "--trainer.val_check_interval=4"),
]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    keep = "pytorch_lightning.callbacks.ModelCheckpoint"
    own = ("every_n_train_steps=4", "save_top_k=-1", "filename={step}", f"dirpath={tmp_path / 'steps'}")
    callbacks = [f"--trainer.callbacks+={keep}", *(f"--trainer.callbacks.{one}" for one in own)]
    assert main([*FIT, f"--run={tmp_path / 'whole'}", *callbacks]) == 0
    assert main(["fit", f"--ckpt_path={tmp_path / 'steps/step=4.ckpt'}", *FIT[1:], f"--run={tmp_path / 'rest'}"]) == 0
    whole, rest = (torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "rest"))
    assert all(torch.equal(whole["state_dict"][key], rest["state_dict"][key]) for key in whole["state_dict"])
    assert whole["vitrail"]["input"] == rest["vitrail"]["input"]
    (state,) = whole["optimizer_states"]
    assert [group["lr"] for group in state["param_groups"]] == [state["param_groups"][0]["lr"]] * 3
    assert {group["fallback_lr_scale"] for group in state["param_groups"]} == {0.2}
