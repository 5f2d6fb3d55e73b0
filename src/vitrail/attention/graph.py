"""graph: each vector attends to its neighbours in a graph, itself included."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.neighbours import attended, attended_in_sets
from vitrail.attention.self_attention import SelfAttention, added, masked_softmax, only_keys
from vitrail.attention.softmax import sdpa
from vitrail.errors import UsageError, first_few
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.sets import Seen, Visible, mask_of, square

NO_NEIGHBOUR = -1  # pads a row of neighbours
CROSS = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))


class Graph(SelfAttention):
    """softmax over the neighbours of a graph; of a grid those that touch a cell by sides (4), or by corners too (8).

    Any other graph is given as `table`, [N, most neighbours], padded with NO_NEIGHBOUR, as `table_of_edges` makes it;
    the output of a cell without neighbours is zero. Sets that are graphs have edges of their own. Prefix tokens see
    all vectors, and all see them.
    """

    options: ClassVar[dict[str, int]] = {"neighbours": 8}
    table: Tensor

    def __init__(self, dim: int, num_heads: int = 8, table: Tensor | None = None, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        given = touching(self.grid, self.options["neighbours"]) if table is None else table
        self.register_buffer("table", given, persistent=False)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        p, drop = self.prefix, self.attn_drop.p if self.training else 0.0
        if k.shape[2] != p + len(self.table):
            raise UsageError(f"the graph has {len(self.table)} nodes, and there are {k.shape[2] - p} vectors")
        seen, queries = only_keys(seen), q[:, :, p:] * self.scale
        mixed, shares = attended(
            cells_first(queries),
            self.neighbours(k),
            self.neighbours(v),
            self.reachable(seen, k.shape[2]),
            self.neighbour_bias(),
            cells_first(queries @ k[:, :, :p].mT) if p else None,
            self.dropped,
        )
        cells = mixed.permute(1, 2, 0, 3)
        if not p:
            return cells
        cells = cells + shares.permute(1, 2, 0, 3) @ v[:, :, :p]
        return torch.cat([sdpa(q[:, :, :p], k, v, seen, None, drop), cells], dim=2)

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        if seen.adjacent is not None:
            near = with_prefix(seen.adjacent.unsqueeze(1), self.prefix) & seen_or_itself(seen.keys)
            return sdpa(q, k, v, near, None, self.attn_drop.p if self.training else 0.0)
        around = square(1) if self.options["neighbours"] == 8 else CROSS
        return attended_in_sets(self, q, k, v, seen, around)

    def neighbours(self, x: Tensor) -> Iterator[Tensor]:
        """Each cell's first neighbour, then its second, …, so that not all are in memory at once."""
        cells = cells_first(x[:, :, self.prefix :])
        return (cells.index_select(0, one) for one in self.table.clamp(min=0).unbind(dim=1))

    def reachable(self, seen: Tensor | None, vectors: int) -> Tensor:
        """Which of these a cell sees, [cells, 1 or B, 1, prefix + K]: all but NO_NEIGHBOUR and masked ones."""
        present = F.pad(self.table != NO_NEIGHBOUR, (self.prefix, 0), value=True)[:, None, None]
        if seen is None:
            return present
        keys = seen.expand(-1, -1, 1, vectors)
        first = keys[..., : self.prefix].expand(-1, -1, len(self.table), -1)
        around = keys[:, :, 0, self.prefix + self.table.clamp(min=0)]  # [B, 1, cells, K]
        return present & cells_first(torch.cat([first, around], dim=-1))

    def neighbour_bias(self) -> Tensor | None:
        """The bias of the scores of neighbours by positions, [cells, 1, heads, K]."""
        if not self.positions.adds_to_scores:
            return None  # a graph of its own has no grid either
        cells = cells_of(self.grid, self.table.device)
        bias = self.bias(cells[self.table.clamp(min=0)] - cells[:, None])  # [heads, cells, K]
        return bias if bias is None else bias.transpose(0, 1).unsqueeze(1)

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias(seen))
        near, keys = with_prefix(self.near(seen), self.prefix), mask_of(seen)
        return masked_softmax(scores, near if keys is None else near & keys)

    def near(self, seen: Seen) -> Tensor:
        """Which vector (row) has which as a neighbour, [N, N] or [B, 1, N, N]."""
        if not isinstance(seen, Visible):
            return adjacency(self.table)
        if seen.adjacent is not None:
            return seen.adjacent.unsqueeze(1)
        return touch(self.offsets_of(seen), self.options["neighbours"]).unsqueeze(1)


def with_prefix(near: Tensor, prefix: int) -> Tensor:
    """The same after prefix tokens, which see all vectors, and which all see."""
    return F.pad(near, (prefix, 0, prefix, 0), value=True)


def seen_or_itself(keys: Tensor) -> Tensor:
    """The mask of keys [B, 1, 1, N] as [B, 1, N, N]; padding sees itself, since softmax over nothing is not finite."""
    return keys | torch.eye(keys.shape[3], dtype=torch.bool, device=keys.device)


def cells_first(x: Tensor) -> Tensor:
    """[B, heads, cells, d] → [cells, B, heads, d], so that a neighbour is contiguous in memory."""
    return x.permute(2, 0, 1, 3).contiguous()


def touching(grid: Grid, neighbours: int) -> Tensor:
    """Each cell of a grid with those it touches, [N, neighbours + 1]."""
    cells = cells_of(grid)
    return table_of(touch(cells[None] - cells[:, None], neighbours))


def touch(offsets: Tensor, neighbours: int) -> Tensor:
    """Whether cells this far apart, [..., 2], touch by sides (4), or by corners too (8)."""
    return offsets.abs().amax(dim=-1) <= 1 if neighbours == 8 else offsets.abs().sum(dim=-1) <= 1


def table_of(adjacent: Tensor) -> Tensor:
    """An adjacency matrix [N, N] as rows of neighbours [N, most neighbours]."""
    most = max(1, int(adjacent.sum(dim=1).max()))
    order = adjacent.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return order.masked_fill(~adjacent.gather(1, order), NO_NEIGHBOUR)


def table_of_edges(edges: Tensor | Sequence[tuple[int, int]], nodes: int, directed: bool = False) -> Tensor:
    """The rows of neighbours [nodes, most neighbours] of a graph that is given by its edges, [E, 2].

    Both ends of an edge see each other; of a directed edge the second sees the first. Each node sees itself, with an
    edge to itself or without. An edge that is given twice is one.
    """
    pairs = checked_edges(edges, nodes)
    themselves = torch.arange(nodes).repeat(2, 1).T
    both_ways = [pairs, themselves] if directed else [pairs, pairs.flip(1), themselves]
    sees, seen = torch.cat(both_ways).flip(1).unique(dim=0).unbind(1)  # ordered by the node that sees
    degrees = sees.bincount(minlength=nodes)
    columns = torch.arange(len(sees)) - (degrees.cumsum(0) - degrees)[sees]
    table = torch.full((nodes, int(degrees.max())), NO_NEIGHBOUR)
    table[sees, columns] = seen
    return table


def checked_edges(edges: Tensor | Sequence[tuple[int, int]], nodes: int) -> Tensor:
    """Edges as integers [E, 2]; refuses those between nodes that are not there."""
    if nodes < 1:
        raise UsageError(f"a graph has at least one node, not {nodes}")
    try:
        pairs = torch.as_tensor(edges, device="cpu")
    except (TypeError, ValueError) as fault:
        raise UsageError(f"edges are pairs of node numbers: {fault}") from fault
    if not pairs.numel():
        return torch.empty(0, 2, dtype=torch.long)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point() or pairs.dtype == torch.bool:
        raise UsageError(f"edges are pairs of node numbers, [E, 2]; these are {pairs.dtype} {list(pairs.shape)}")
    beyond = pairs[((pairs < 0) | (pairs >= nodes)).any(dim=1)]
    if len(beyond):
        names = first_few([f"{first}–{second}" for first, second in beyond.tolist()])
        raise UsageError(f"there are {nodes} nodes, numbered from 0, so these are edges to none: {names}")
    return pairs.long()


def adjacency(table: Tensor) -> Tensor:
    """The inverse of `table_of`."""
    matrix = torch.zeros(len(table), len(table) + 1, dtype=torch.bool, device=table.device)
    return matrix.scatter(1, table.masked_fill(table == NO_NEIGHBOUR, len(table)), True)[:, :-1]
