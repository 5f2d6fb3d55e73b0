"""sincos2d: fixed waves, half the width for rows and half for columns, added to the vectors once."""

import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of

LONGEST = 10_000.0


def sincos2d(grid: Grid, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One vector a cell, [N, width]: sin and cos of row / LONGEST^(2i / d), d = width / 2, then of the column."""
    if width % 4:
        raise UsageError(
            f"sincos2d needs sines and cosines for rows and for columns: a width of {width} does not divide by 4"
        )
    i = torch.arange(width // 4, dtype=torch.float64)
    frequencies = LONGEST ** (-i / (width // 4))
    waves = cells_of(grid).double()[:, :, None] * frequencies  # [N, 2, width / 4]
    return torch.cat([waves.sin(), waves.cos()], dim=2).flatten(1).to(dtype)
