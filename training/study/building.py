"""From a contender's plain data to its module and its network."""

import torch
from torch import nn

from vitrail.images.canvas import InputRule
from vitrail.models import Architecture
from vitrail.models.network import count_flops, count_parameters
from vitrail.training.instantiate import instantiate
from vitrail.training.module import ImageModule
from vitrail.training.study.plan import Contender, Plain


def build_module(
    contender: Contender, classes: int, rule: InputRule, rate: float | None = None
) -> tuple[ImageModule, list[nn.Module]]:
    """The module and the transforms of its training images; `rate` replaces the optimizer's learning rate."""
    model: Plain = dict(contender.model)
    if rate is not None:
        optimizer = model["optimizer"]
        model["optimizer"] = {**optimizer, "init_args": {**optimizer["init_args"], "lr": rate}}
    return instantiate(model, contender.augment, classes, rule)


def architecture(contender: Contender) -> Architecture:
    """The network alone, without pretrained weights."""
    return Architecture.from_plain(contender.model["net"]).untrained()


def network_of(contender: Contender, classes: int, rule: InputRule) -> nn.Module:
    """A network with random weights; leaves torch's random state unchanged."""
    with torch.random.fork_rng(devices=[]):
        return architecture(contender).build_for(rule, classes).eval()


def load_weights(contender: Contender, classes: int, rule: InputRule) -> None:
    """Fails if a contender cannot start from its weights; leaves torch's random state unchanged."""
    if contender.weights is not None:
        with torch.random.fork_rng(devices=[]):
            build_module(contender, classes, rule)


def parameters_and_flops(contender: Contender, classes: int, rule: InputRule) -> tuple[int, int]:
    network = network_of(contender, classes, rule)
    return count_parameters(network), count_flops(network, rule)
