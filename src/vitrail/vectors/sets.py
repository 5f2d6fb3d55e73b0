"""A set of vectors: what self-attention takes in, whatever it was before."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VectorSet:
    """N vectors for each of B images; nothing but `positions` tells one place from another."""

    vectors: Tensor  # [B, N, D]
    mask: Tensor  # [B, N], true where a vector counts
    positions: Tensor  # [N, 2], row and column on the grid
    grid: tuple[int, int]  # rows and columns, N = rows · columns

    def __len__(self) -> int:
        return self.vectors.shape[1]

    @property
    def width(self) -> int:
        return self.vectors.shape[2]
