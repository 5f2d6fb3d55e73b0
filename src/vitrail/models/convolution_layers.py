"""The convolutions of a CNN, left as they are or exchanged for attention that equals them."""

from math import inf
from typing import Any

from torch import nn

from vitrail.attention.component import Component, Setting, settings_of
from vitrail.attention.from_convolution import SHARPNESS, conv_to_attention
from vitrail.errors import UsageError

# Settings in YAML, with their defaults.
LAYERS: dict[str, dict[str, Setting]] = {"convolution": {}, "attention": {"sharpness": SHARPNESS}}


def check_layers(layers: Component) -> None:
    settings = settings_of("kind of layers", layers, LAYERS[layers.name])
    if layers.name == "attention" and not 0 < settings["sharpness"] < inf:
        raise UsageError(f"sharpness of the layers attention must be above 0, not {settings['sharpness']}")


def put_layers(network: nn.Module, layers: Component) -> nn.Module:
    """The network with layers of this kind."""
    if layers.name == "attention":
        settings: Any = settings_of("kind of layers", layers, LAYERS[layers.name])
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.Conv2d):
                network.set_submodule(name, conv_to_attention(module, **settings))
    return network
