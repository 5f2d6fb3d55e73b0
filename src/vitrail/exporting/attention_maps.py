"""Attention maps: how much each token attends to each other, in every layer and head of a Vision Transformer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from timm.layers import Attention as TimmAttention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.model_file.explanation import Attention


def attention_of(network: nn.Module, size: int) -> Attention | None:
    """The axes of this network's attention, or None where its weights are not exposed."""
    modules = attentions(network)
    if not modules:
        return None
    vit = cast(VisionTransformer, network)
    with captured(modules) as inputs, torch.inference_mode():
        vit.forward_features(torch.zeros(1, 3, size, size))
        weights = [attention_weights(module, x) for module, x in zip(modules, inputs, strict=True)]
    rows, columns = vit.patch_embed.grid_size
    tokens = vit.num_prefix_tokens + rows * columns
    if {tuple(layer.shape[1:]) for layer in weights} != {(weights[0].shape[1], tokens, tokens)}:
        return None
    return Attention(len(modules), weights[0].shape[1], vit.num_prefix_tokens, (rows, columns))


def attentions(network: nn.Module) -> list[nn.Module]:
    """The attention module of every block; none where one of them does not expose its weights."""
    if not isinstance(network, VisionTransformer):
        return []
    modules = [getattr(block, "attn", None) for block in network.blocks]
    known = [module for module in modules if isinstance(module, nn.Module) and exposes_weights(module)]
    return known if len(known) == len(modules) else []


def exposes_weights(module: nn.Module) -> bool:
    # A subclass of timm's may attend otherwise, so only the class itself is trusted.
    return type(module) is TimmAttention or callable(getattr(module, "weights", None))


@contextmanager
def captured(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """The inputs of the modules inside the `with`, in order; timm's blocks stay as they are."""
    inputs: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs.append(arguments[0])

    hooks = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


def attention_weights(module: nn.Module, x: Tensor) -> Tensor:
    """Tokens [N, T, D] → weights [N, heads, T, T], rows summing to 1; by the module's own `weights` if it has that."""
    if callable(getattr(module, "weights", None)):
        exposed: Tensor = cast(Any, module).weights(x)
        return exposed
    attention = cast(TimmAttention, module)
    n, tokens, _ = x.shape
    qkv = attention.qkv(x).reshape(n, tokens, 3, attention.num_heads, attention.head_dim).permute(2, 0, 3, 1, 4)
    q, k = attention.q_norm(qkv[0]), attention.k_norm(qkv[1])  # [N, heads, T, head_dim]
    weights: Tensor = (q * attention.scale @ k.transpose(-2, -1)).softmax(dim=-1)
    return weights
