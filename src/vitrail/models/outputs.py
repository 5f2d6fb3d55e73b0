"""A network's whole answer, from the same features: logits, and the vector that the head reads."""

from typing import Any

from torch import Tensor, nn

from vitrail.errors import ModelError

CALLS = ("forward_features", "forward_head", "get_classifier")


def logits_and_embedding(network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """timm's networks and ours share these calls: logits [N, K] and embedding [N, D], D the head's input.

    Where the head reads all vectors the embedding is their mean; for each place there are logits [N, h, w, K].
    """
    features = network.forward_features(pixels)
    read = network.forward_head(features, pre_logits=True)  # [N, D], or vectors [N, …, D]
    head = network.get_classifier()
    # Several heads are no module; their answers are averaged.
    logits = head(read) if isinstance(head, nn.Module) else network.forward_head(features)
    return logits, read if read.ndim == 2 else read.flatten(1, -2).mean(dim=1)


def refuse_without_calls(network: nn.Module) -> None:
    """Said before training, for it is losses and the export that call them."""
    missing = [name for name in CALLS if not callable(getattr(network, name, None))]
    if missing:
        raise ModelError(
            f"{type(network).__name__} has no {', '.join(missing)}: a network needs timm's calls forward_features(x), "
            "forward_head(features, pre_logits=False) and get_classifier()"
        )
