"""Where a network looks for each label of the sequence that it reads in an image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitrail.images.canvas import InputRule
from vitrail.images.patches import grid_of
from vitrail.models.decoder import SequenceHead
from vitrail.models.input import Input, together


@dataclass(frozen=True)
class Reading:
    """The prediction for one image, with the cross-attention of every place, the mean of all layers and heads."""

    probabilities: NDArray[np.float32]  # [L, K + 1], at temperature 1
    attention: NDArray[np.float32]  # [L, h, w], of the patches alone


def read(network: nn.Module, rule: InputRule, canvas: NDArray[np.uint8]) -> Reading | None:
    """Of a network with a head for sequences; None for any other."""
    vit: Any = network
    head = vit.get_classifier()
    if not isinstance(head, SequenceHead):
        return None
    with torch.inference_mode():
        pixels = Input(rule).normalised(together([canvas], rule))
        vectors = vit.forward_head(vit.forward_features(pixels), pre_logits=True)
        probabilities = head(vectors)[0].softmax(dim=-1)
        attention = head.attention(vectors)[0].mean(dim=(0, 1))[:, vit.num_prefix_tokens :]  # [L, h · w]
    grid = vit.patch_embed.grid_size if rule.patch is None else grid_of(canvas.shape, rule.patch)
    return Reading(probabilities.numpy(), attention.unflatten(-1, grid).numpy())
