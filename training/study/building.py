"""From a contender's plain data to its module, in the way in which `vitrail fit` makes one from a recipe."""

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
    """Reads what stands under `model`, and a list of transforms."""
    reader = ArgumentParser(exit_on_error=False)
    reader.add_class_arguments(ImageModule, "model")
    reader.add_argument("--augment", type=list[nn.Module], default=[])
    return reader


def make(
    contender: Contender, classes: int, rule: InputRule, rate: float | None = None
) -> tuple[ImageModule, list[nn.Module]]:
    """The module and its training images' transforms; `rate` takes the place of the optimizer's own."""
    model: Plain = {**contender.model, "classes": classes, "image_size": rule.size, "resize": rule.resize}
    if rate is not None:
        optimizer = model["optimizer"]
        model["optimizer"] = {**optimizer, "init_args": {**optimizer["init_args"], "lr": rate}}
    read = parser()
    made: Any = read.instantiate(read.parse_object({"model": model, "augment": list(contender.augment)}))
    return made.model, made.augment


def architecture(contender: Contender) -> Architecture:
    """The network alone, without weights to start from."""
    return Architecture.from_plain(contender.model["net"]).untrained()


def network_of(contender: Contender, classes: int, size: int) -> nn.Module:
    """A network whose weights do not matter; made without disturbing anybody's chance."""
    with torch.random.fork_rng(devices=[]):
        return architecture(contender).build(classes, size).eval()


def parameters_and_flops(contender: Contender, classes: int, size: int) -> tuple[int, int]:
    network = network_of(contender, classes, size)
    return count_parameters(network), count_flops(network, size)
