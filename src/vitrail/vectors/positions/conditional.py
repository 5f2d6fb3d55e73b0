"""conditional: each block's input gets a convolution of its neighbours on the grid, by which cells know their place."""

import torch
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.sets import Seen, Visible

KERNEL = 3


class Conditional(nn.Module):
    """x + depthwise k×k over the grid (CPVT, 2102.10882); prefix tokens stay as they are."""

    def __init__(self, width: int, grid: Grid, prefix: int) -> None:
        super().__init__()
        self.grid = grid
        self.prefix = prefix
        self.depthwise = nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, groups=width)

    def no_weight_decay(self) -> set[str]:
        return {"depthwise.weight"}

    def forward(self, x: Tensor, seen: Seen = None) -> Tensor:
        """[B, N, D] → [B, N, D]"""
        cells = x[:, self.prefix :]
        if isinstance(seen, Visible):
            return x + nn.functional.pad(self.of_sets(cells, seen), (0, 0, self.prefix, 0))
        if seen is not None and seen.shape[-2] == 1:  # masked cells are no neighbours
            cells = cells * seen[..., self.prefix :].reshape(seen.shape[0], -1, 1)
        on_grid = torch.unflatten(cells.transpose(1, 2), 2, self.grid)  # [B, D, rows, columns]
        neighbours = self.depthwise(on_grid).flatten(2).transpose(1, 2)
        return x + nn.functional.pad(neighbours, (0, 0, self.prefix, 0))

    def of_sets(self, cells: Tensor, seen: Visible) -> Tensor:
        """The convolution of sets [B, N, D], whose neighbours are found by their offsets."""
        weight, convolved = self.depthwise.weight, self.depthwise.bias.expand_as(cells)  # type: ignore[union-attr]
        for row, column, neighbours in seen.around(cells, KERNEL):
            convolved = convolved + neighbours * weight[:, 0, row, column]
        return convolved
