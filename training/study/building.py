"""From a contender's plain data to its module, built as `vitrail fit` builds one from a recipe."""

from functools import cache
from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import nn

from vitrail.images.canvas import InputRule
from vitrail.models import Architecture
from vitrail.models.network import count_flops, count_parameters
from vitrail.training.module import ImageModule
from vitrail.training.study.plan import Contender, Plain


@cache
def parser() -> ArgumentParser:
    """Parses the `model` section of a recipe, and a list of transforms."""
    made = ArgumentParser(exit_on_error=False)
    made.add_class_arguments(ImageModule, "model")
    made.add_argument("--augment", type=list[nn.Module], default=[])
    return made


def build_module(
    contender: Contender, classes: int, rule: InputRule, rate: float | None = None
) -> tuple[ImageModule, list[nn.Module]]:
    """The module and the transforms of its training images; `rate` replaces the optimizer's learning rate."""
    model: Plain = {**contender.model, "classes": classes, "image_size": rule.size, "resize": rule.resize}
    if rate is not None:
        optimizer = model["optimizer"]
        model["optimizer"] = {**optimizer, "init_args": {**optimizer["init_args"], "lr": rate}}
    reader = parser()
    built: Any = reader.instantiate(reader.parse_object({"model": model, "augment": list(contender.augment)}))
    return built.model, built.augment


def architecture(contender: Contender) -> Architecture:
    """The network alone, without pretrained weights."""
    return Architecture.from_plain(contender.model["net"]).untrained()


def network_of(contender: Contender, classes: int, size: int) -> nn.Module:
    """A network with random weights; leaves torch's random state unchanged."""
    with torch.random.fork_rng(devices=[]):
        return architecture(contender).build(classes, size).eval()


def parameters_and_flops(contender: Contender, classes: int, size: int) -> tuple[int, int]:
    network = network_of(contender, classes, size)
    return count_parameters(network), count_flops(network, size)
