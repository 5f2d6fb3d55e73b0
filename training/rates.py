"""Learning rates for fine-tuning: the head's own, and lower ones for layers nearer the image."""

from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn

from vitrail.errors import UsageError
from vitrail.training.muon import Group, parameters_of_head


@dataclass(frozen=True)
class Rates:
    """Factors of the learning rate.

    Args:
        head: of the head, which starts from nothing where all else is pretrained.
        layer_decay: of a layer, as a share of the rate of the layer after it; the one before the head takes it once.
    """

    head: float = 1.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.head > 0:
            raise UsageError(f"rates.head is a positive factor of the learning rate, not {self.head:g}")
        if not 0 < self.layer_decay <= 1:
            raise UsageError(f"rates.layer_decay is above 0 and at most 1, which is no decay, not {self.layer_decay:g}")

    def split(self, groups: list[Group], network: Any, lr: float) -> list[Group]:
        """The optimizer's groups, each divided by rate."""
        factors = self.factors(network)
        divided: list[Group] = []
        for group in groups:
            by_factor: dict[float, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                by_factor.setdefault(factors[id(parameter)], []).append(parameter)
            divided += [{**group, "params": some, "lr": lr * factor} for factor, some in by_factor.items()]
        return divided

    def factors(self, network: Any) -> dict[int, float]:
        """The factor of each parameter, by identity."""
        head, depths = parameters_of_head(network), self.depths(network)
        return {
            id(parameter): self.head if id(parameter) in head else self.layer_decay ** depths[name]
            for name, parameter in network.named_parameters()
        }

    def depths(self, network: Any) -> dict[str, int]:
        """How many layers before the head each parameter is, where that counts."""
        if self.layer_decay == 1:
            return {name: 0 for name, _ in network.named_parameters()}
        if not hasattr(network, "group_matcher"):
            raise UsageError(f"{type(network).__name__} does not tell its layers apart: leave out rates.layer_decay")
        layers: dict[str, int] = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
        last = max(layers.values())
        return {name: last - layer for name, layer in layers.items()}
