"""A set of vectors: the input of self-attention."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VectorSet:
    """N vectors for each of B images; only `positions` holds their order."""

    vectors: Tensor  # [B, N, D]
    mask: Tensor  # [B, N], false where a vector is masked
    positions: Tensor  # [N, 2], row and column on the grid
    grid: tuple[int, int]  # rows and columns, N = rows · columns

    def __len__(self) -> int:
        return self.vectors.shape[1]

    @property
    def width(self) -> int:
        return self.vectors.shape[2]
