"""What a network costs: its parameters, and its operations for one image."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def count_flops(network: nn.Module, size: int) -> int:
    """Floating-point operations for one image, a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter:  # with gradients: it follows learned queries by these
        network(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops())
