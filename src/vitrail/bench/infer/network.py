"""The network that all contenders compute, and their input."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.input import Input

CLASSES = 1000


@dataclass(frozen=True)
class Batch:
    """The same images as canvases and as normalised pixels."""

    canvases: NDArray[np.uint8]  # [N, size, size, 3]
    pixels: NDArray[np.float32]  # [N, 3, size, size], normalised

    def __len__(self) -> int:
        return len(self.canvases)


def seeded_network(name: str, size: int, seed: int) -> nn.Module:
    """timm's ViT `name` with seeded weights: times do not depend on training."""
    torch.manual_seed(seed)
    network = ViT(name=name).build(CLASSES, size)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if patch is not None and (size % patch[0] or size % patch[1]):
        raise UsageError(f"patches of {patch[0]} do not divide an image of {size}: choose another --size")
    redraw(network, torch.Generator().manual_seed(seed))
    return network.eval()


def redraw(network: nn.Module, generator: torch.Generator) -> None:
    """Non-trivial values for every weight: timm starts biases at 0, which would hide an exporter that drops one."""
    with torch.no_grad():
        for name, weights in network.named_parameters():
            noise = torch.randn(weights.shape, generator=generator)
            if weights.ndim == 1 and name.endswith("weight"):  # a norm's scale
                weights.copy_(1 + noise / 10)
            elif weights.ndim == 1:
                weights.copy_(noise / 10)
            else:
                weights.copy_(noise / weights[0].numel() ** 0.5)


def seeded_batch(rule: InputRule, images: int, seed: int) -> Batch:
    random = np.random.default_rng(seed)
    canvases = random.integers(0, 256, (images, rule.size, rule.size, 3), np.uint8)
    with torch.inference_mode():
        pixels: NDArray[np.float32] = Input(rule)(torch.from_numpy(canvases)).contiguous().numpy()
    return Batch(canvases, pixels)


def expected_logits(network: nn.Module, batch: Batch) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits: NDArray[np.float32] = network(torch.from_numpy(batch.pixels)).numpy()
    return logits
