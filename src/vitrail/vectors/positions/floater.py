"""floater: positions as the solution of a learned differential equation along rows and along columns."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions

STEP = 0.1  # of time between one row or column and the next


class Flow(nn.Module):
    """h(t, p): the derivative of positions, for rows and for columns; shared by all layers of a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList(nn.Linear(width + 1, width) for _ in range(2))
        self.outer = nn.ModuleList(nn.Linear(width + 1, width) for _ in range(2))

    def no_weight_decay(self) -> set[str]:
        """All parameters: they make positions differ."""
        return {name for name, _ in self.named_parameters()}

    def along(self, axis: int, start: Tensor, count: int) -> Tensor:
        """Position [..., D] of the first row or column → those of all, [..., count, D], by fourth-order Runge–Kutta."""
        positions, p = [start], start
        for step in range(count - 1):
            t = step * STEP
            first = self.change(axis, t, p)
            second = self.change(axis, t + STEP / 2, p + STEP / 2 * first)
            third = self.change(axis, t + STEP / 2, p + STEP / 2 * second)
            fourth = self.change(axis, t + STEP, p + STEP * third)
            p = p + STEP / 6 * (first + 2 * second + 2 * third + fourth)
            positions.append(p)
        return torch.stack(positions, dim=-2)

    def change(self, axis: int, t: float, p: Tensor) -> Tensor:
        hidden: Tensor = self.inner[axis](F.pad(p, (0, 1), value=t)).relu()
        return self.outer[axis](F.pad(hidden, (0, 1), value=t))  # type: ignore[no-any-return]


class Floater(Positions):
    """Biases of queries, keys and values, each with its own start in every layer (2003.09229).

    A cell gets the sum of those of its row and its column. In eval mode the table is constant, so it is cached.
    """

    cached: Tensor | None
    cached_lines: Tensor | None
    longest = 0  # rows or columns that a set may have

    def __init__(self, grid: Grid, heads: int, head_dim: int, flow: Flow | None = None) -> None:
        super().__init__(grid, heads, head_dim)
        self.heads = heads
        self.flow = flow or Flow(heads * head_dim)
        self.starts = nn.Parameter(torch.zeros(2, 3, heads * head_dim))  # rows and columns; queries, keys and values
        self.register_buffer("cached", None, persistent=False)
        self.register_buffer("cached_lines", None, persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module.clear_cache())  # type: ignore[no-untyped-call]

    def no_weight_decay(self) -> set[str]:
        return {"starts"}

    def shift(
        self, q: Tensor, k: Tensor, v: Tensor, prefix: int, cells: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if cells is not None:
            table = F.pad(self.table_at(cells), (0, 0, prefix, 0))  # [3, B, heads, prefix + N, head_dim]
            return q + table[0], k + table[1], v + table[2]
        # Lightning sets `training` back after validation without calling train(), and then the cached table is stale.
        table = self.table() if self.training or self.cached is None else self.cached
        table = F.pad(table, (0, 0, prefix, 0))  # [3, heads, prefix + N, head_dim]
        return q + table[0], k + table[1], v + table[2]

    def table(self) -> Tensor:
        """The biases of queries, keys and values of each cell, [3, heads, N, head_dim]."""
        rows, columns = self.grid
        of_rows = self.flow.along(0, self.starts[0], rows)  # [3, rows, D]
        of_columns = self.flow.along(1, self.starts[1], columns)
        both = of_rows[:, :, None] + of_columns[:, None]  # [3, rows, columns, D]
        return torch.unflatten(both.flatten(1, 2), 2, (self.heads, -1)).transpose(1, 2)

    def table_at(self, cells: Tensor) -> Tensor:
        """The same for rows and columns `cells` [B, N, 2] of sets, [3, B, heads, N, head_dim]."""
        lines = self.lines() if self.training or self.cached_lines is None else self.cached_lines
        both = lines[0][:, cells[..., 0]] + lines[1][:, cells[..., 1]]  # [3, B, N, D]
        return torch.unflatten(both, 3, (self.heads, -1)).transpose(2, 3)

    def lines(self) -> Tensor:
        """Of all rows and of all columns that a set may have, [2, 3, longest, D]."""
        return torch.stack([self.flow.along(axis, self.starts[axis], self.longest) for axis in range(2)])

    def train(self, mode: bool = True) -> "Floater":
        super().train(mode)
        self.clear_cache()
        if not mode:
            with torch.no_grad():
                self.cached = self.table()
                self.cached_lines = self.lines() if self.longest else None
        return self

    def clear_cache(self) -> None:
        self.cached = self.cached_lines = None
