"""A set of vectors: the input of self-attention."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

Offsets = tuple[tuple[int, int], ...]  # rows and columns from one vector to others
LINE = 2**31  # vectors that a row may have
HALVINGS = 24  # of a list whose length is not known


@dataclass(frozen=True)
class VectorSet:
    """B sets of vectors, padded to the largest; only `positions` holds their order."""

    vectors: Tensor  # [B, N, D]
    mask: Tensor  # [B, N], false where it is padded
    positions: Tensor  # [B, N, 2], row and column on the grid
    neighbours: Tensor | None = None  # [B, N, K], where they are nodes of a graph; -1 for none

    def __len__(self) -> int:
        """The number of sets."""
        return len(self.vectors)

    @property
    def width(self) -> int:
        return self.vectors.shape[2]

    @property
    def device(self) -> torch.device:
        return self.vectors.device

    @property
    def grids(self) -> Tensor:
        """Rows and columns of each set, [B, 2]."""
        return (self.positions + 1).masked_fill(~self.mask.unsqueeze(-1), 0).amax(dim=1)

    def visible(self, prefix: int) -> "Visible":
        """What attention sees of these sets, after so many prefix tokens."""
        keys = F.pad(self.mask, (prefix, 0), value=True)[:, None, None]
        return Visible(keys, self.positions, None if self.neighbours is None else adjacency_of(self.neighbours))

    def with_vectors(self, vectors: Tensor) -> Self:
        """Others at the same positions."""
        return replace(self, vectors=vectors)

    def with_neighbours(self, count: int) -> Self:
        """The last `count` numbers of each vector are its neighbours, and none of its own."""
        if not count:
            return self
        own, neighbours = self.vectors.split([self.width - count, count], dim=2)
        return replace(self, vectors=own, neighbours=neighbours)

    def with_prefix(self, prefix: int) -> Self:
        """A set of which the first vectors have no position, and are no padding."""
        return replace(
            self, mask=F.pad(self.mask, (prefix, 0), value=True), positions=F.pad(self.positions, (0, 0, prefix, 0))
        )

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """On another device, as torch.Tensor.to; Lightning calls it."""

        def moved(part: Tensor) -> Tensor:
            return part.to(*args, **kwargs)

        return replace(
            self,
            vectors=moved(self.vectors),
            mask=moved(self.mask),
            positions=moved(self.positions),
            neighbours=None if self.neighbours is None else moved(self.neighbours),
        )


@dataclass(frozen=True)
class Visible:
    """What attention sees of sets: which keys there are, and where each vector is."""

    keys: Tensor  # [B, 1, 1, prefix + N], true where there is a vector
    positions: Tensor  # [B, N, 2], row and column
    adjacent: Tensor | None = None  # [B, N, N], of graphs: which node (row) sees which, itself included
    found: dict[Offsets, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def offsets(self) -> Tensor:
        """From each vector to each other, in rows and columns, [B, N, N, 2]."""
        return self.positions[:, None] - self.positions[:, :, None]

    def around(self, x: Tensor, side: int) -> Iterator[tuple[int, int, Tensor]]:
        """Each row and column of a square of this side around a vector, and what is there of x, [B, N, D], or zeros."""
        index, there = self.neighbours(square(side // 2))
        places = product(range(side), repeat=2)
        of_each = zip(places, rows_of(x.flatten(0, 1), index), there.unbind(dim=2), strict=True)
        for (row, column), neighbours, present in of_each:
            yield row, column, neighbours.reshape(x.shape) * present.unsqueeze(2)

    def neighbours(self, offsets: Offsets) -> tuple[Tensor, Tensor]:
        """Of each vector those so many rows and columns away: where in its set, and whether there is one, [B, N, K].

        A cell has one vector. They are found by halving a sorted list, at a cost that grows with N · log N, once for
        all layers.
        """
        if offsets not in self.found:
            self.found[offsets] = self.looked_up(torch.tensor(offsets, device=self.positions.device))
        return self.found[offsets]

    def looked_up(self, offsets: Tensor) -> tuple[Tensor, Tensor]:
        count = self.positions.shape[1]
        present = self.keys[:, 0, 0, self.keys.shape[3] - count :]
        numbers = (self.positions * torch.tensor([LINE, 1], device=offsets.device)).sum(dim=2)
        numbers, order = numbers.masked_fill(~present, LINE * LINE // 2).sort(dim=1)
        own = self.positions.unsqueeze(2) + offsets  # [B, N, K, 2]
        wanted = (own[..., 0] * LINE + own[..., 1]).flatten(1)
        low = torch.zeros_like(wanted)  # the last number that is not above the wanted one
        for halving in reversed(range(count.bit_length() if isinstance(count, int) else HALVINGS)):
            higher = (low + 2**halving).clamp(max=count - 1)
            low = torch.where(numbers.gather(1, higher) <= wanted, higher, low)
        found = (numbers.gather(1, low) == wanted).view(own.shape[:3])
        return order.gather(1, low).view(own.shape[:3]), found & present.unsqueeze(2)


def adjacency_of(neighbours: Tensor) -> Tensor:
    """Neighbours [B, N, K] as a matrix, [B, N, N], in which each node is its own neighbour; others are none."""
    nodes = torch.arange(neighbours.shape[1], device=neighbours.device)
    near = (nodes[:, None] == nodes).expand(neighbours.shape[0], -1, -1)
    for one in neighbours.unbind(dim=2):  # one at a time: all would take K times the memory
        near = near | (one.unsqueeze(2) == nodes)
    return near


def square(reach: int, step: int = 1) -> Offsets:
    """The offsets of the (2 · reach + 1)² cells around, `step` apart, row by row."""
    lines = range(-reach * step, reach * step + 1, step)
    return tuple((row, column) for row in lines for column in lines)


def rows_of(x: Tensor, index: Tensor) -> Iterator[Tensor]:
    """The rows of x [B · N, …] for each of the K places [B, N, K] in its set, in turn."""
    sets = torch.arange(index.shape[0], device=index.device)[:, None, None] * index.shape[1]
    return (x.index_select(0, one) for one in (index + sets).flatten(0, 1).unbind(dim=1))


Vectors = Tensor | VectorSet  # all [B, N, D] of each image, or sets of them


def vectors_of(x: Vectors) -> tuple[Tensor, Tensor | None]:
    """Vectors [B, N, D], and where there are sets the mask [B, N] of those that are no padding."""
    return (x.vectors, x.mask) if isinstance(x, VectorSet) else (x, None)


Seen = Tensor | Visible | None  # of attention: a mask, sets, or all


def mask_of(seen: Seen) -> Tensor | None:
    """Which keys are seen, [..., 1 or queries, keys]."""
    return seen.keys if isinstance(seen, Visible) else seen
