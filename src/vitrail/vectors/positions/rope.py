"""rope: queries and keys are rotated by their position, so that their product depends on the offset; timm's."""

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
                f"rope rotates pairs by row and by column: the {head_dim} features of a head must divide by 4"
            )
        embedding = RotaryEmbeddingCat(head_dim, in_pixels=False, feat_shape=list(grid))
        self.register_buffer("angles", embedding.get_embed(), persistent=False)

    def shift(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.rotated(q, prefix), self.rotated(k, prefix), v

    def rotated(self, x: Tensor, prefix: int) -> Tensor:
        rotated = apply_rot_embed_cat(x[:, :, prefix:], self.angles)
        return rotated if not prefix else torch.cat([x[:, :, :prefix], rotated], dim=2)
