"""A network's whole answer, from the same features: logits, and the vector that the head reads."""

from typing import Any

from torch import Tensor, nn


def logits_and_embedding(network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """timm's networks and ours share these calls: logits [N, K] and embedding [N, D], D the head's input."""
    embedding = network.forward_head(network.forward_features(pixels), pre_logits=True)
    head: nn.Module = network.get_classifier()
    return head(embedding), embedding
