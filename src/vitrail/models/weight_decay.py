"""Which parameters an optimizer decays: matrices that map vectors; no norms, biases, positions, tokens or queries."""

from typing import Any

from timm.layers import AttentionPoolLatent
from timm.optim import param_groups_weight_decay
from torch import nn


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The network's parameters in two groups, decayed and not decayed."""
    groups: list[dict[str, Any]] = param_groups_weight_decay(
        network, weight_decay, no_weight_decay_list=no_weight_decay(network)
    )
    return groups


def no_weight_decay(network: nn.Module) -> set[str]:
    """Full names of the parameters that modules at any depth exclude by `no_weight_decay()`.

    timm's optimizers call it on the outermost module alone.
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in network.named_modules(remove_duplicate=False)
        for name in excluded_by(module)
    }


def excluded_by(module: Any) -> set[str]:
    if hasattr(module, "no_weight_decay"):
        names: set[str] = module.no_weight_decay()
        return names
    # timm's pooling by attention has a learned query and positions, and does not exclude them.
    return {"latent", "pos_embed"} if isinstance(module, AttentionPoolLatent) else set()
