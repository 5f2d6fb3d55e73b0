"""rope: queries and keys are rotated by their position, so that their product depends on the offset; timm's."""

import torch
from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat, freq_bands
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions


class Rope(Positions):
    turns = True
    angles: Tensor  # [N, 2 · head_dim], sines and cosines
    bands: Tensor  # [head_dim / 4], frequencies

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__(grid, heads, head_dim)
        if head_dim % 4:
            raise UsageError(
                f"rope rotates pairs by row and by column: the {head_dim} features of a head must divide by 4"
            )
        embedding = RotaryEmbeddingCat(head_dim, in_pixels=False, feat_shape=list(grid))
        self.register_buffer("angles", embedding.get_embed(), persistent=False)
        self.register_buffer("bands", freq_bands(head_dim // 4, step=1), persistent=False)

    def shift(
        self, q: Tensor, k: Tensor, v: Tensor, prefix: int, cells: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        angles = self.angles if cells is None else self.angles_at(cells).unsqueeze(1)
        return rotated(q, angles, prefix), rotated(k, angles, prefix), v

    def angles_at(self, cells: Tensor) -> Tensor:
        """As timm's embedding has them on a grid, [B, N, 2 · head_dim]."""
        turns = (cells.unsqueeze(-1) * self.bands).flatten(2).repeat_interleave(2, dim=-1)
        return torch.cat([turns.sin(), turns.cos()], dim=-1)


def rotated(x: Tensor, angles: Tensor, prefix: int) -> Tensor:
    """Vectors [B, heads, prefix + N, head_dim], all but the prefix rotated."""
    turned = apply_rot_embed_cat(x[:, :, prefix:], angles)
    return turned if not prefix else torch.cat([x[:, :, :prefix], turned], dim=2)
