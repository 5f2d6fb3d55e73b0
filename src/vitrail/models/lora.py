"""LoRA: fine-tuning that learns updates of low rank for the linear layers of the blocks, beside an unchanged base."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from vitrail.errors import ModelError, UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.heads import heads_of

KEY = "vitrail_lora"  # in a checkpoint: rank and alpha, and the base and the updates, which its merged weights replace
PARTS = ".parametrizations.weight."  # what torch puts between the names of a layer and of a part of its weight


@dataclass(frozen=True)
class LoRA:
    """W + alpha / rank · up · down in place of the matrix W of each linear layer in `network.blocks` (2106.09685).

    Up, down and the head are trained; everything else stays as it is. Checkpoints hold the sums, under timm's names.

    Args:
        rank: of each update; up is [outputs, rank] and starts at zero, down is [rank, inputs] and starts at random.
        alpha: scales the updates, divided by the rank.
    """

    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise UsageError(f"LoRA needs a rank of at least 1 and an alpha above 0, not {self.rank} and {self.alpha}")

    def put_into(self, network: nn.Module) -> None:
        layers = linear_layers(network)
        network.requires_grad_(False)
        for head in heads_of(network):
            head.requires_grad_(True)
        for layer in layers:
            # Not another layer that adds: some attention reads a layer's weight and never calls the layer.
            register_parametrization(layer, "weight", LowRank(layer.weight, self.rank, self.alpha / self.rank))

    def refuse_untrained(self, architecture: Architecture) -> None:
        if not architecture.pretrained:
            raise UsageError(
                "LoRA adapts pretrained weights, and this network starts at random: give --model.net.pretrained, or "
                "leave out lora"
            )

    def merge(self, checkpoint: dict[str, Any]) -> None:
        """Replace the weights by plain ones, for all who know no LoRA, and keep beside them what resuming needs."""
        weights = checkpoint["state_dict"]
        parts = {name: value for name, value in weights.items() if PARTS in name}
        checkpoint[KEY] = asdict(self) | {"weights": parts}
        checkpoint["state_dict"] = merged(weights, self.alpha / self.rank)

    def separate(self, checkpoint: dict[str, Any]) -> None:
        """Undo `merge`, to the last bit."""
        kept = checkpoint.get(KEY)
        if kept is None:
            raise ModelError("the checkpoint was trained without LoRA: leave out --model.lora")
        there = LoRA(kept["rank"], kept["alpha"])
        if there != self:
            raise ModelError(f"the checkpoint was trained with {there}, the configuration has {self}")
        checkpoint["state_dict"] = separated(checkpoint["state_dict"], kept["weights"])


class LowRank(nn.Module):
    """Adds its update to a matrix."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=sqrt(5))  # as in the paper's own code

    def forward(self, weight: Tensor) -> Tensor:
        return updated(weight, self.up, self.down, self.scale)


def updated(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    """The same sum while training in lower precision as in the checkpoint."""
    with torch.autocast(weight.device.type, enabled=False):
        return weight + scale * (up @ down)


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """All linear layers in the transformer blocks: queries, keys and values, projections, MLPs."""
    blocks = getattr(network, "blocks", None)
    inside = blocks.modules() if isinstance(blocks, nn.Module) else ()
    layers = [module for module in inside if isinstance(module, nn.Linear)]
    if not layers:
        raise UsageError(
            f"LoRA adapts the linear layers of transformer blocks, and {type(network).__name__} has none in `blocks`: "
            "choose a ViT, or leave out lora"
        )
    return layers


def merged(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights of a network with LoRA as those of the same network without it."""
    plain: dict[str, Tensor] = {}
    for name, value in weights.items():
        layer, is_part, part = name.partition(PARTS)
        if not is_part:
            plain[name] = value
        elif part == "original":
            up, down = (weights[f"{layer}{PARTS}0.{factor}"] for factor in ("up", "down"))
            plain[f"{layer}.weight"] = updated(value, up, down, scale)
    return plain


def separated(weights: Mapping[str, Tensor], parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `merged`, given the parts that it has summed."""
    sums = {f"{name.partition(PARTS)[0]}.weight" for name in parts}
    return {name: value for name, value in weights.items() if name not in sums} | dict(parts)
