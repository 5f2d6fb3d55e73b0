"""rope: queries and keys turn with their place, so that their product knows the offset; timm's rotary embedding."""

import torch
from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions


class Rope(Positions):
    turns = True
    angles: Tensor  # [N, 2 · head_dim], sines and cosines

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__(grid, heads, head_dim)
        if head_dim % 4:
            raise UsageError(
                f"rope turns pairs of numbers by row and by column: the {head_dim} numbers of a head must divide by 4"
            )
        made = RotaryEmbeddingCat(head_dim, in_pixels=False, feat_shape=list(grid))
        self.register_buffer("angles", made.get_embed(), persistent=False)

    def shift(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.turned(q, prefix), self.turned(k, prefix), v

    def turned(self, x: Tensor, prefix: int) -> Tensor:
        places = apply_rot_embed_cat(x[:, :, prefix:], self.angles)
        return places if not prefix else torch.cat([x[:, :, :prefix], places], dim=2)
