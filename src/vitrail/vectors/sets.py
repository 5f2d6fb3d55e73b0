"""A set of vectors: the input of self-attention."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class VectorSet:
    """B sets of vectors, padded to the largest; only `positions` holds their order."""

    vectors: Tensor  # [B, N, D]
    mask: Tensor  # [B, N], false where it is padded
    positions: Tensor  # [B, N, 2], row and column on the grid

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
        return Visible(F.pad(self.mask, (prefix, 0), value=True)[:, None, None], self.positions)

    def with_vectors(self, vectors: Tensor) -> Self:
        """Others at the same positions."""
        return replace(self, vectors=vectors)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """On another device, as torch.Tensor.to; Lightning calls it."""
        moved = (part.to(*args, **kwargs) for part in (self.vectors, self.mask, self.positions))
        return type(self)(*moved)


@dataclass(frozen=True)
class Visible:
    """What attention sees of sets: which keys there are, and where each vector is."""

    keys: Tensor  # [B, 1, 1, prefix + N], true where there is a vector
    positions: Tensor  # [B, N, 2], row and column

    @property
    def offsets(self) -> Tensor:
        """From each vector to each other, in rows and columns, [B, N, N, 2]."""
        return self.positions[:, None] - self.positions[:, :, None]

    def around(self, x: Tensor, side: int, prefix: int) -> Iterator[tuple[int, int, Tensor]]:
        """Each row and column of a square of this side around a vector, and what is there of x, [B, N, D], or zeros."""
        present = self.keys[:, 0, :, prefix:]  # [B, 1, N]
        for row, column in product(range(side), repeat=2):
            offset = torch.tensor([row - side // 2, column - side // 2], device=x.device)
            there = (self.offsets == offset).all(dim=-1) & present  # [B, N, N]
            yield row, column, there.to(x.dtype) @ x


Seen = Tensor | Visible | None  # of attention: a mask, sets, or all


def mask_of(seen: Seen) -> Tensor | None:
    """Which keys are seen, [..., 1 or queries, keys]."""
    return seen.keys if isinstance(seen, Visible) else seen
