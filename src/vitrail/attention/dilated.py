"""dilated: a window with gaps, which reaches further with as many keys."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.window import Window
from vitrail.vectors.grid import Grid


class Dilated(Window):
    """softmax over (2 · reach + 1)² cells around, `step` apart.

    Cells that see each other are on one of step² lattices; on each lattice this is a plain window.
    """

    options: ClassVar[dict[str, Any]] = {"reach": 2, "step": 2}

    def in_tiles(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, drop: float) -> Tensor:
        if seen is None:
            seen = q.new_ones(1, 1, 1, k.shape[2], dtype=torch.bool)
        seen = seen.expand(q.shape[0], 1, 1, k.shape[2]).transpose(2, 3).to(q.dtype)
        seen_there = self.on_lattices(seen, self.prefix).transpose(2, 3) > 0  # padding is zeros
        keys, values = self.on_lattices(k, self.prefix), self.on_lattices(v, self.prefix)
        mixed = super().in_tiles(self.on_lattices(q, 0), keys, values, seen_there, drop)
        return off_lattices(mixed, self.grid, self.step)

    def on_lattices(self, x: Tensor, prefix: int) -> Tensor:
        """[B, heads, prefix + N, d] → [B · step², heads, prefix + cells of a lattice, d]"""
        cells = onto_lattices(x[:, :, prefix:], self.grid, self.step)
        if not prefix:
            return cells
        return torch.cat([x[:, :, :prefix].repeat_interleave(self.step**2, dim=0), cells], dim=2)


def onto_lattices(x: Tensor, grid: Grid, step: int) -> Tensor:
    """Cells [B, heads, N, d] → [B · step², heads, cells of a lattice, d], padded with zeros."""
    x = F.pad(torch.unflatten(x, 2, grid), (0, 0, 0, -grid[1] % step, 0, -grid[0] % step))
    x = torch.unflatten(torch.unflatten(x, 2, (-1, step)), 4, (-1, step))
    # [B, heads, rows, step, columns, step, d]
    return x.permute(0, 3, 5, 1, 2, 4, 6).flatten(4, 5).flatten(0, 2)


def off_lattices(x: Tensor, grid: Grid, step: int) -> Tensor:
    """The inverse of `onto_lattices`."""
    columns = -(-grid[1] // step)
    x = torch.unflatten(torch.unflatten(x, 0, (-1, step, step)), 4, (-1, columns))
    # [B, step, step, heads, rows, columns, d]
    x = x.permute(0, 3, 4, 1, 5, 2, 6).flatten(4, 5).flatten(2, 3)  # [B, heads, rows · step, columns · step, d]
    return x[:, :, : grid[0], : grid[1]].flatten(2, 3)
