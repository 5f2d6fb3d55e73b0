"""linear: keys and values are summed once for all queries, so that cost grows with N and not with N²."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.self_attention import SelfAttention, only_keys
from vitrail.vectors.sets import Seen, Visible

EPSILON = 1e-6


class Linear(SelfAttention):
    """φ(q)(φ(k)ᵀ v) / (φ(q) · Σ φ(k)) with φ = elu + 1; vectors may be masked, single pairs may not."""

    scored = False

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        return factored(positive(q), masked(positive(k), seen), v)

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        return self.mix(q, k, v, seen.keys)

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        products = positive(q) @ masked(positive(k), seen).transpose(-2, -1)
        return products / (products.sum(dim=-1, keepdim=True) + EPSILON)


def positive(x: Tensor) -> Tensor:
    """φ, which is positive everywhere."""
    return F.elu(x) + 1


def masked(k: Tensor, seen: Seen) -> Tensor:
    """Keys [B, heads, N, head_dim], zero where masked."""
    keys = only_keys(seen)
    return k if keys is None else k * keys.transpose(-2, -1)


def factored(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All queries see all keys; φ has been applied to q and k."""
    memory = k.transpose(-2, -1) @ v  # [B, heads, head_dim, head_dim]
    return q @ memory / (q @ k.sum(dim=-2).unsqueeze(-1) + EPSILON)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Query i sees keys up to i; in one product, at a cost that grows with N²."""
    products = (q @ k.transpose(-2, -1)).tril()
    return products @ v / (products.sum(dim=-1, keepdim=True) + EPSILON)


def recurrent(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same one vector after the other, with a memory of fixed size: linear attention as an RNN."""
    memory = torch.zeros_like(k.transpose(-2, -1) @ v)
    total = torch.zeros_like(k[..., 0, :])
    outputs = []
    for q_i, k_i, v_i in zip(q.unbind(-2), k.unbind(-2), v.unbind(-2), strict=True):  # [B, heads, head_dim] each
        memory = memory + k_i.unsqueeze(-1) * v_i.unsqueeze(-2)
        total = total + k_i
        read = (q_i.unsqueeze(-2) @ memory).squeeze(-2)
        outputs.append(read / ((q_i * total).sum(dim=-1, keepdim=True) + EPSILON))
    return torch.stack(outputs, dim=-2)
