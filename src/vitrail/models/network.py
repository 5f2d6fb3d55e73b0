"""What every network provides, timm's and ours: three calls, logits and embedding, parameters and operations."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vitrail.errors import ModelError
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input, blank
from vitrail.vectors.pooling import mean_of
from vitrail.vectors.sets import VectorSet

CALLS = ("forward_features", "forward_head", "get_classifier")
Shape = Sequence[int]
BACKWARD = 3  # times the forward operations is a whole step: the backward pass has two multiplications for each one


def refuse_without_calls(network: nn.Module) -> None:
    """Refuse, before training, a network without the calls that losses and the export make."""
    missing = [name for name in CALLS if not callable(getattr(network, name, None))]
    if missing:
        raise ModelError(
            f"{type(network).__name__} has no {', '.join(missing)}: a network needs timm's calls forward_features(x), "
            "forward_head(features, pre_logits=False) and get_classifier()"
        )


def logits_and_embedding(network: Any, pixels: Tensor | VectorSet) -> tuple[Tensor, Tensor]:
    """Logits [N, K] and embedding [N, D], the head's input.

    Where the head reads all vectors the embedding is their mean; dense logits are [N, h, w, K].
    """
    features = network.forward_features(pixels)
    read = network.forward_head(features, pre_logits=True)  # [N, D], or vectors [N, …, D], or sets
    head = network.get_classifier()
    # Several heads are no module; the network averages their logits.
    logits = head(read) if isinstance(head, nn.Module) else network.forward_head(features)
    if isinstance(read, VectorSet):
        return logits, mean_of(read.vectors, read.mask)
    return logits, read if read.ndim == 2 else read.flatten(1, -2).mean(dim=1)


def count_parameters(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def count_flops(network: nn.Module, rule: InputRule) -> int:
    """Floating-point operations for one image, or for the longest set, a multiplication and an addition being two."""
    formulas = {torch.ops.aten.mkldnn_rnn_layer: flops_of_lstm}
    # with gradients: the counter needs them to see learned queries
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        network(Input(rule).normalised(blank(rule)))
    return int(counter.get_total_flops())


def flops_of_lstm(x: Shape, of_input: Shape, of_state: Shape, *others: Any, **shapes: Any) -> int:
    """Of one direction of a layer on a CPU, an operator that torch does not count; x is [B, N, D]."""
    return 2 * prod(x[:-1]) * (prod(of_input) + prod(of_state))
