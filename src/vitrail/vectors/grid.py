"""The grid of an image's vectors."""

import torch
from torch import Tensor

Grid = tuple[int, int]  # rows and columns


def cells_of(grid: Grid, device: torch.device | None = None) -> Tensor:
    """Row and column of each cell, [N, 2], row by row."""
    rows, columns = torch.arange(grid[0], device=device), torch.arange(grid[1], device=device)
    return torch.stack([rows.repeat_interleave(grid[1]), columns.repeat(grid[0])], dim=1)
