"""A network's whole answer, from the same features: logits, and the vector that the head reads."""

from typing import Any

from torch import Tensor, nn


def logits_and_embedding(network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """timm's networks and ours share these calls: logits [N, K] and embedding [N, D], D the head's input."""
    features = network.forward_features(pixels)
    embedding = network.forward_head(features, pre_logits=True)
    head = network.get_classifier()
    if isinstance(head, nn.Module):
        return head(embedding), embedding
    return network.forward_head(features), embedding  # several heads, whose answers are averaged
