"""relative: a learned bias for every offset between two cells and every head, added to their score."""

import torch
from timm.layers import resize_rel_pos_bias_table, trunc_normal_
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions
from vitrail.vectors.positions.offsets import index_of


class Relative(Positions):
    adds_to_scores = True

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__(grid, heads, head_dim)
        self.table = nn.Parameter(torch.empty((2 * grid[0] - 1) * (2 * grid[1] - 1), heads))
        self.init_weights()

    def init_weights(self) -> None:
        trunc_normal_(self.table, std=0.02)

    def no_weight_decay(self) -> set[str]:
        return {"table"}

    def bias(self, offsets: Tensor) -> Tensor:
        # Offsets to keys beyond the edge occur in windows; their scores are masked.
        return self.table[index_of(offsets, self.grid)].movedim(-1, 0)


def resampled(table: Tensor, old: Grid, new: Grid) -> Tensor:
    """The table of one grid interpolated to another."""
    shape = (2 * new[0] - 1) * (2 * new[1] - 1), table.shape[1]
    resized: Tensor = resize_rel_pos_bias_table(table, new_window_size=new, new_bias_shape=shape)
    return resized
