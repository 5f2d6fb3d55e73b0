"""shaw: a learned vector for every offset between two cells is added to the key, another to the value (1803.02155)."""

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions
from vitrail.vectors.positions.offsets import index_of


class Shaw(Positions):
    """Shaw's relative positions in rows and columns, the same for all heads.

    Offsets beyond those of the grid that a table was made for take its outermost vector, as in the paper.
    """

    adds_to_pairs = True

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__(grid, heads, head_dim)
        count = (2 * grid[0] - 1) * (2 * grid[1] - 1)
        self.keys = nn.Parameter(torch.empty(count, head_dim))
        self.values = nn.Parameter(torch.empty(count, head_dim))
        self.init_weights()

    def init_weights(self) -> None:
        trunc_normal_(self.keys, std=0.02)
        trunc_normal_(self.values, std=0.02)

    def no_weight_decay(self) -> set[str]:
        return {"keys", "values"}

    def scores(self, q: Tensor, offsets: Tensor) -> Tensor:
        """Queries [B, heads, prefix + N, head_dim] times the vectors of keys, [B, heads, prefix + N, prefix + N]."""
        pairs = self.of_pairs(self.keys, offsets, q.shape[2])
        return torch.einsum("bhid,bijd->bhij" if pairs.ndim == 4 else "bhid,ijd->bhij", q, pairs)

    def mixed(self, weights: Tensor, offsets: Tensor) -> Tensor:
        """The vectors of values by their weights, [B, heads, prefix + N, head_dim]."""
        pairs = self.of_pairs(self.values, offsets, weights.shape[2])
        return torch.einsum("bhij,bijd->bhid" if pairs.ndim == 4 else "bhij,ijd->bhid", weights, pairs)

    def of_pairs(self, table: Tensor, offsets: Tensor, vectors: int) -> Tensor:
        """[..., prefix + N, prefix + N, head_dim], zeros for pairs with a prefix token."""
        pairs = table[index_of(offsets, self.grid)]
        prefix = vectors - pairs.shape[-2]
        return nn.functional.pad(pairs, (0, 0, prefix, 0, prefix, 0)) if prefix else pairs
