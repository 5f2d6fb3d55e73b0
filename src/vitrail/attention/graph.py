"""graph: each vector sees the neighbours that a graph gives it, itself among them."""

from collections.abc import Iterator
from functools import reduce
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
        weights = self.dropped(masked_softmax(self.scores(q, k), self.reachable(seen, k.shape[2])))
        found = self.found(weights, v)
        return found if not p else torch.cat([sdpa(q[:, :, :p], k, v, seen, None, drop), found], dim=2)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """Of each place with the prefix and its neighbours, [places, B, heads, prefix + K]."""
        p, q = self.prefix, q * self.scale
        mine = places_first(q[:, :, p:])
        scores = torch.stack([(mine * keys).sum(dim=-1) for keys in self.neighbours(k)], dim=-1)
        scores = added(scores, self.neighbour_bias())
        return scores if not p else torch.cat([places_first(q[:, :, p:] @ k[:, :, :p].mT), scores], dim=-1)

    def found(self, weights: Tensor, v: Tensor) -> Tensor:
        """What each place takes of the prefix and its neighbours, [B, heads, places, d]."""
        p = self.prefix
        shares = weights[..., p:].unsqueeze(-1).unbind(dim=-2)
        found = reduce(torch.add, (share * values for share, values in zip(shares, self.neighbours(v), strict=True)))
        found = found.permute(1, 2, 0, 3)
        return found if not p else found + weights[..., :p].permute(1, 2, 0, 3) @ v[:, :, :p]

    def neighbours(self, x: Tensor) -> Iterator[Tensor]:
        """Each place's first neighbour, then its second, …: what all hold together need not be in memory at once."""
        places = places_first(x[:, :, self.prefix :])
        return (places.index_select(0, one) for one in self.table.clamp(min=0).unbind(dim=1))

    def reachable(self, seen: Tensor | None, vectors: int) -> Tensor:
        """Which of those a place sees, [places, 1 or B, 1, prefix + K]: all but NOBODY, and but what is masked."""
        there = F.pad(self.table != NOBODY, (self.prefix, 0), value=True)[:, None, None]
        if seen is None:
            return there
        keys = seen.expand(-1, -1, 1, vectors)
        first = keys[..., : self.prefix].expand(-1, -1, len(self.table), -1)
        around = keys[:, :, 0, self.prefix + self.table.clamp(min=0)]  # [B, 1, places, K]
        return there & places_first(torch.cat([first, around], dim=-1))

    def neighbour_bias(self) -> Tensor | None:
        """What positions add to the scores of neighbours, [places, 1, heads, K]."""
        places = places_of(self.grid, self.table.device)
        bias = self.bias(places[self.table.clamp(min=0)] - places[:, None])  # [heads, places, K]
        return bias if bias is None else bias.transpose(0, 1).unsqueeze(1)

    def weigh(self, q: Tensor, k: Tensor, seen: Tensor | None) -> Tensor:
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias())
        near = F.pad(adjacency(self.table), (self.prefix, 0, self.prefix, 0), value=True)
        return masked_softmax(scores, near if seen is None else near & seen)


def places_first(x: Tensor) -> Tensor:
    """[B, heads, places, d] → [places, B, heads, d], so that a neighbour is one piece of memory."""
    return x.permute(2, 0, 1, 3).contiguous()


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
