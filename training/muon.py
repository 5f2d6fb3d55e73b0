"""Muon: matrices and kernels take steps along orthogonal matrices; all other parameters are AdamW's."""

from collections.abc import Iterable
from typing import Any

import timm.optim
from torch import nn

from vitrail.models.heads import heads_of
from vitrail.models.weight_decay import parameter_groups

Group = dict[str, Any]


class Muon(timm.optim.Muon):
    """timm's Muon with Nesterov momentum and the steps of torch.optim.Muon, and its AdamW for the rest.

    It updates the matrices and kernels between an image and the head. The head, kernels of single channels, and what
    is not decayed (norms, biases, positions, tokens and queries) are updated by AdamW.

    Args:
        params: parameters, or their groups.
        lr: learning rate.
        weight_decay: of both.
        momentum: of Muon.
        adamw: AdamW's learning rate as a share of `lr`, so that a schedule scales both.
        betas: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        adamw: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=True,
            ns_coefficients="original",
            adjust_lr_fn="original",
            fallback_lr_scale=adamw,
            betas=betas,
        )


def muon_groups(network: nn.Module, weight_decay: float) -> list[Group]:
    """The parameters of Muon, then those of AdamW: first those that are decayed."""
    parameters = [one for one in network.parameters() if one.requires_grad]
    decayed = {id(one) for group in parameter_groups(network, 1.0) if group["weight_decay"] for one in group["params"]}
    by_muon = {id(one) for one in parameters if maps_channels(one)} & decayed - parameters_of_head(network)

    def among(chosen: set[int]) -> list[nn.Parameter]:
        return [one for one in parameters if id(one) in chosen]

    adamw = {"use_muon": False, "nesterov": False}  # with Nesterov momentum it would be NAdamW
    return [
        {"params": among(by_muon), "weight_decay": weight_decay, "use_muon": True},
        {"params": among(decayed - by_muon), "weight_decay": weight_decay, **adamw},
        {"params": among({id(one) for one in parameters} - decayed), "weight_decay": 0.0, **adamw},
    ]


def maps_channels(parameter: nn.Parameter) -> bool:
    """Whether it is a matrix, or a kernel that is one: each output of a depthwise kernel has one input."""
    return parameter.ndim >= 2 and parameter.shape[1] > 1


def parameters_of_head(network: nn.Module) -> set[int]:
    """The parameters of the head, or of several, by identity."""
    return {id(one) for each in heads_of(network) for one in each.parameters()}
