"""Positions that act inside every layer of attention; this one does nothing, and others change what they need."""

from torch import Tensor, nn

from vitrail.vectors.grid import Grid


class Positions(nn.Module):
    """What attention asks of positions; vectors before the places (`prefix` of them) have none."""

    adds_to_scores = False  # which only attention that scores pairs can use
    turns = False  # queries and keys

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__()
        self.grid = grid

    def shift(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, heads, prefix + N, head_dim], each knowing its place."""
        return q, k, v

    def bias(self, offsets: Tensor) -> Tensor | None:
        """What is added to scores, for offsets from query to key in rows and columns, [..., 2] → [heads, ...]."""
        return None
