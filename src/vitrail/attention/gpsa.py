"""gpsa: a gate between attention by content and attention by position; it starts as a convolution (ConViT)."""

from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.attention.self_attention import SelfAttention, added, masked_softmax
from vitrail.vectors.sets import Seen, mask_of

BALANCE = 1.0  # before the sigmoid: positions weigh 0.73 at the start
SHARPNESS = 1.0


class Gpsa(SelfAttention):
    """(1 − σ(λ)) softmax(q kᵀ / √d) + σ(λ) softmax(v · (δ₁, δ₂, ‖δ‖²)), λ and v learned for each head.

    Prefix tokens have no offsets: they attend, and are attended to, by content alone.
    """

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        self.balance = nn.Parameter(torch.empty(self.num_heads))
        self.looks = nn.Parameter(torch.empty(self.num_heads, 3))
        self.init_weights()

    def init_weights(self) -> None:
        """Each head attends to another offset of a square, and values are the identity."""
        nn.init.constant_(self.balance, BALANCE)
        with torch.no_grad():
            self.looks.copy_(centred_looks(self.num_heads))
            if self.attn_dim == self.qkv.in_features:
                self.qkv.weight[2 * self.attn_dim :].copy_(torch.eye(self.attn_dim))

    def no_weight_decay(self) -> set[str]:
        return {"balance", "looks"}

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        content = masked_softmax(added(q * self.scale @ k.transpose(-2, -1), self.full_bias(seen)), seen)
        p, gate = self.prefix, self.balance.sigmoid()[:, None, None]
        of_cells = content[..., p:, :]
        position = nn.functional.pad(self.by_position(seen), (p, 0)).expand_as(of_cells)
        mixed = (1 - gate) * of_cells + gate * position
        return mixed if not p else torch.cat([content[..., :p, :], mixed], dim=-2)

    def by_position(self, seen: Seen) -> Tensor:
        """The weights by position, [heads, cells, cells]; of sets [B, heads, N, N]."""
        offsets = self.offsets_of(seen).to(self.looks.dtype)
        features = torch.cat([offsets, offsets.square().sum(dim=-1, keepdim=True)], dim=-1)  # [..., N, N, 3]
        return masked_softmax((features @ self.looks.T).movedim(-1, -3), among_cells(mask_of(seen), self.prefix))


def among_cells(seen: Tensor | None, prefix: int) -> Tensor | None:
    """A mask without the prefix tokens."""
    if seen is None or not prefix:
        return seen
    return seen[..., prefix:] if seen.shape[-2] == 1 else seen[..., prefix:, prefix:]


def centred_looks(heads: int) -> Tensor:
    """Scores −‖δ − Δ‖² of heads whose Δ fill a square around the query, as factors of (δ₁, δ₂, ‖δ‖²): [heads, 3]."""
    side = ceil(sqrt(heads))
    middle = (side - 1) / 2
    centres = torch.cartesian_prod(torch.arange(side), torch.arange(side))[:heads].float() - middle
    return SHARPNESS * torch.cat([2 * centres, -torch.ones(heads, 1)], dim=1)
