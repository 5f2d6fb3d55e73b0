"""Tables with a row for every offset between two cells of a grid."""

import torch
from torch import Tensor

from vitrail.vectors.grid import Grid


def index_of(offsets: Tensor, grid: Grid) -> Tensor:
    """The row of a grid's table for offsets [..., 2], the outermost one for those that it does not have."""
    rows, columns = grid
    row = offsets[..., 0].clamp(1 - rows, rows - 1) + rows - 1
    column = offsets[..., 1].clamp(1 - columns, columns - 1) + columns - 1
    return row * (2 * columns - 1) + column


def clipped(table: Tensor, old: Grid, new: Grid) -> Tensor:
    """The table of one grid for another: known offsets keep their vectors."""
    rows, columns = (torch.arange(1 - side, side) for side in new)
    offsets = torch.stack([rows.repeat_interleave(len(columns)), columns.repeat(len(rows))], dim=1)
    return table[index_of(offsets, old)]
