"""graph: each vector sees the neighbours that a graph gives it, itself among them."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.self_attention import SelfAttention, added, masked_softmax, only_keys
from vitrail.attention.softmax import sdpa
from vitrail.vectors.grid import Grid, places_of

NOBODY = -1  # fills up a row of neighbours


class Graph(SelfAttention):
    """softmax over given neighbours; of a grid those that touch a place, by their sides (4) or corners, too (8).

    Any other graph is given as `table`, [N, most neighbours], NOBODY where there are fewer; a place without
    neighbours finds zeros. Vectors that are no places see all, and all see them.
    """

    options: ClassVar[dict[str, int]] = {"neighbours": 8}
    table: Tensor

    def __init__(self, dim: int, num_heads: int = 8, table: Tensor | None = None, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        given = touching(self.grid, self.options["neighbours"]) if table is None else table
        self.register_buffer("table", given, persistent=False)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        p, drop = self.prefix, self.attn_drop.p if self.training else 0.0
        seen = only_keys(seen)
        keys, values = self.of_neighbours(k), self.of_neighbours(v)  # [B, heads, places, prefix + K, head_dim]
        scores = (q[:, :, p:].unsqueeze(3) * self.scale * keys).sum(dim=-1)  # [B, heads, places, prefix + K]
        scores = added(scores, self.neighbour_bias())
        weights = self.dropped(masked_softmax(scores, self.reachable(seen, k.shape[2])))
        found = (weights.unsqueeze(-1) * values).sum(dim=-2)
        return found if not p else torch.cat([sdpa(q[:, :, :p], k, v, seen, None, drop), found], dim=2)

    def of_neighbours(self, x: Tensor) -> Tensor:
        """[B, heads, N, d] → for each place the prefix and its neighbours, [B, heads, places, prefix + K, d]."""
        p, (places, most) = self.prefix, self.table.shape
        around = x[:, :, p:].index_select(2, self.table.clamp(min=0).flatten())
        around = torch.unflatten(around, 2, (places, most))
        if not p:
            return around
        return torch.cat([x[:, :, None, :p].expand(-1, -1, places, -1, -1), around], dim=3)

    def reachable(self, seen: Tensor | None, vectors: int) -> Tensor:
        """Which of those a place sees: all but NOBODY, and but what is masked."""
        there = F.pad(self.table != NOBODY, (self.prefix, 0), value=True)
        if seen is None:
            return there
        keys = seen.expand(-1, -1, 1, vectors).transpose(2, 3)  # [B, 1, N, 1]
        return there & self.of_neighbours(keys.to(torch.int8)).squeeze(-1).bool()

    def neighbour_bias(self) -> Tensor | None:
        places = places_of(self.grid, self.table.device)
        bias = self.bias(places[self.table.clamp(min=0)] - places[:, None])  # [heads, places, K]
        return bias if bias is None else F.pad(bias, (self.prefix, 0))

    def weigh(self, q: Tensor, k: Tensor, seen: Tensor | None) -> Tensor:
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias())
        near = F.pad(adjacency(self.table), (self.prefix, 0, self.prefix, 0), value=True)
        return masked_softmax(scores, near if seen is None else near & seen)


def touching(grid: Grid, neighbours: int) -> Tensor:
    """Each place of a grid with those it touches, [N, neighbours + 1]."""
    places = places_of(grid)
    offsets = places[None] - places[:, None]
    near = offsets.abs().amax(dim=-1) <= 1 if neighbours == 8 else offsets.abs().sum(dim=-1) <= 1
    return table_of(near)


def table_of(adjacent: Tensor) -> Tensor:
    """Who sees whom, [N, N], as rows of neighbours [N, most neighbours]."""
    most = max(1, int(adjacent.sum(dim=1).max()))
    order = adjacent.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return order.masked_fill(~adjacent.gather(1, order), NOBODY)


def adjacency(table: Tensor) -> Tensor:
    """`table_of` undone."""
    found = torch.zeros(len(table), len(table) + 1, dtype=torch.bool, device=table.device)
    return found.scatter(1, table.masked_fill(table == NOBODY, len(table)), True)[:, :-1]
