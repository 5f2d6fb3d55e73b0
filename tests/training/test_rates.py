"""Learning rates of the head and of single layers."""

from pathlib import Path

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models.weight_decay import parameter_groups
from vitrail.training.muon import Muon, muon_groups
from vitrail.training.rates import Rates
from vitrail.training.schedule import WarmupCosine, scale_to

VIT = "vit_tiny_patch16_224"


def network(name: str = VIT) -> torch.nn.Module:
    return timm.create_model(VIT, num_classes=4, depth=3) if name == VIT else timm.create_model(name, num_classes=4)


def rates_of(net: torch.nn.Module, rates: Rates) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    groups = rates.split(parameter_groups(net, 0.05), net, 0.5)
    return {names[id(one)]: group["lr"] for group in groups for one in group["params"]}


@pytest.mark.parametrize("name", [VIT, "mobilenetv2_050", "resnet18"])
def test_layer_decay_is_that_of_timm(name: str) -> None:
    net = network(name)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    theirs = {
        names[id(one)]: 0.5 * group["lr_scale"]
        for group in param_groups_layer_decay(net, 0.05, layer_decay=0.75)
        for one in group["params"]
    }
    assert rates_of(net, Rates(layer_decay=0.75)) == pytest.approx(theirs)


def test_layers_nearer_the_image_take_smaller_steps() -> None:
    rates = rates_of(network(), Rates(head=10, layer_decay=0.5))
    assert rates["head.weight"] == 5.0
    assert rates["norm.weight"] == 0.25  # with the last block, as in timm
    assert [rates[f"blocks.{block}.attn.qkv.weight"] for block in (2, 1, 0)] == [0.25, 0.125, 0.0625]
    assert rates["patch_embed.proj.weight"] == rates["cls_token"] == 0.5 * 0.5**4


def test_weight_decay_stays_as_it_is() -> None:
    net = network()
    before = {id(one): group["weight_decay"] for group in parameter_groups(net, 0.05) for one in group["params"]}
    groups = Rates(layer_decay=0.5).split(parameter_groups(net, 0.05), net, 0.5)
    assert {id(one): group["weight_decay"] for group in groups for one in group["params"]} == before


def test_muon_keeps_its_groups() -> None:
    net = network()
    optimizer = Muon(Rates(head=10, layer_decay=0.5).split(muon_groups(net, 0.05), net, 0.02), lr=0.02)
    by_muon = [group for group in optimizer.param_groups if group["use_muon"]]
    assert sorted(group["lr"] for group in by_muon) == pytest.approx([0.02 * 0.5**depth for depth in (4, 3, 2, 1)])


def test_a_schedule_scales_each_rate_alike() -> None:
    net = network()
    optimizer = torch.optim.SGD(Rates(head=10, layer_decay=0.5).split(parameter_groups(net, 0.0), net, 0.5), lr=0.5)
    before = [group["lr"] for group in optimizer.param_groups]
    schedule = WarmupCosine(0.0).attach(optimizer, 10)
    scale_to(schedule, 0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * rate for rate in before])
    assert schedule.base_lrs == pytest.approx([0.1 * rate for rate in before])


@pytest.mark.parametrize(("options", "message"), [({"head": 0}, "rates.head"), ({"layer_decay": 1.5}, "layer_decay")])
def test_other_factors_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rates(**options)


def test_a_network_that_does_not_tell_its_layers_apart_is_refused() -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(2, 2)

        def get_classifier(self) -> torch.nn.Module:
            return self.head

    with pytest.raises(UsageError, match=r"leave out rates\.layer_decay"):
        Rates(layer_decay=0.5).factors(Small())


def test_fit_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["fit", "--config=digits-vit", "--trainer.max_steps=3", "--trainer.val_check_interval=3"]
    factors = ["--model.rates.head=10", "--model.rates.layer_decay=0.8"]
    assert main([*options, *factors, f"--run={tmp_path / 'run'}"]) == 0
    saved = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    rates = sorted({group["initial_lr"] for group in saved["optimizer_states"][0]["param_groups"]})
    blocks = 4
    assert len(rates) == blocks + 3  # the patches, each block, the norm before the head, and the head
    assert rates[-1] / rates[0] == pytest.approx(10 / 0.8 ** (blocks + 1))
