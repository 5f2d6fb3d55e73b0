"""sincos1d and sincos2d: fixed waves, of the place in the sequence or of row and column, added to the vectors once."""

import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of

LONGEST = 10_000.0


def sincos1d(grid: Grid, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One vector a cell, [N, width], cells counted row by row: the Transformer's, its sines first."""
    if width % 2:
        raise UsageError(f"sincos1d needs as many sines as cosines: a width of {width} does not divide by 2")
    return waves(torch.arange(grid[0] * grid[1]), width).to(dtype)


def sincos2d(grid: Grid, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One vector a cell, [N, width]: half of it of the row, half of the column."""
    if width % 4:
        raise UsageError(
            f"sincos2d needs sines and cosines for rows and for columns: a width of {width} does not divide by 4"
        )
    return waves(cells_of(grid), width // 2).flatten(1).to(dtype)


def waves(places: Tensor, width: int) -> Tensor:
    """[..., width], in float64: sin of place / LONGEST^(2i / width) for all i, then cos."""
    frequencies = LONGEST ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = places.double()[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
