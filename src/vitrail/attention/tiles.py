"""Tiles with a margin: how windows over a grid are computed without the scores outside them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.vectors.grid import Grid

TILE = 8  # queries a side, which share one block of keys: the tile and its margin


def tiles(grid: Grid) -> Grid:
    """The number of tiles that cover the grid, down and across."""
    return -(-grid[0] // TILE), -(-grid[1] // TILE)


def pairs_in_tiles(grid: Grid, reach: int) -> int:
    """The number of computed scores; without tiles it is N²."""
    down, across = tiles(grid)
    return down * across * TILE**2 * (TILE + 2 * reach) ** 2


def cut(x: Tensor, grid: Grid) -> Tensor:
    """Cells [B, heads, N, d] → tiles [B · tiles, heads, TILE², d]; the last ones are padded with zeros."""
    x = F.pad(torch.unflatten(x, 2, grid), (0, 0, 0, -grid[1] % TILE, 0, -grid[0] % TILE))
    x = torch.unflatten(torch.unflatten(x, 2, (-1, TILE)), 4, (-1, TILE))  # [B, heads, down, TILE, across, TILE, d]
    return x.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(0, 2)


def blocks(x: Tensor, grid: Grid, margin: int) -> Tensor:
    """The same with a margin around each tile: [B · tiles, heads, (TILE + 2 · margin)², d]."""
    side = TILE + 2 * margin
    bottom, right = margin + -grid[0] % TILE, margin + -grid[1] % TILE
    x = F.pad(torch.unflatten(x, 2, grid), (0, 0, margin, right, margin, bottom))
    x = x.unfold(2, side, TILE).unfold(3, side, TILE)  # [B, heads, down, across, d, side, side]
    return x.permute(0, 2, 3, 1, 5, 6, 4).flatten(4, 5).flatten(0, 2)


def joined(x: Tensor, grid: Grid) -> Tensor:
    """Tiles [B · tiles, heads, TILE², d] → cells [B, heads, N, d]: the inverse of `cut`."""
    down, across = tiles(grid)
    x = torch.unflatten(torch.unflatten(x, 0, (-1, down, across)), 4, (TILE, TILE))
    # [B, down, across, heads, TILE, TILE, d]
    x = x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3)  # [B, heads, down · TILE, across · TILE, d]
    return x[:, :, : grid[0], : grid[1]].flatten(2, 3)


def inside(grid: Grid, reaches: list[int]) -> Tensor:
    """Which keys of its block a query of a tile may see, [tiles, reaches, TILE², block²]; padding sees all.

    Blocks are those of the largest reach.
    """
    real = torch.ones(1, 1, grid[0] * grid[1], 1)
    keys = blocks(real, grid, max(reaches))[..., 0] > 0  # [tiles, 1, block²]
    distances = block_offsets(max(reaches)).abs().amax(dim=-1)  # [TILE², block²]
    near = distances <= torch.tensor(reaches)[:, None, None]
    queries = cut(real, grid)[..., 0] > 0  # [tiles, 1, TILE²]
    return (near & keys.unsqueeze(2)) | ~queries.unsqueeze(3)


def block_offsets(reach: int) -> Tensor:
    """From each query of a tile to each key of its block, [TILE², block², 2]."""
    side = torch.arange(TILE)
    block = torch.arange(-reach, TILE + reach)
    queries = torch.cartesian_prod(side, side)
    keys = torch.cartesian_prod(block, block)
    return keys[None] - queries[:, None]
