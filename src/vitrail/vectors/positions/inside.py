"""Positions that act inside every layer of attention; the base class does nothing."""

from torch import Tensor, nn

from vitrail.vectors.grid import Grid


class Positions(nn.Module):
    """The interface of positions; the `prefix` vectors before those of the grid have none."""

    adds_to_scores = False  # only for attention that scores pairs
    adds_to_pairs = False  # `scores` and `mixed`, only for softmax attention
    turns = False  # queries and keys

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__()
        self.grid = grid

    def shift(
        self, q: Tensor, k: Tensor, v: Tensor, prefix: int, cells: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, heads, prefix + N, head_dim], with positions applied.

        Those of the grid, or of the rows and columns `cells` [B, N, 2].
        """
        return q, k, v

    def scores(self, q: Tensor, offsets: Tensor) -> Tensor:
        """What each query [B, heads, prefix + N, head_dim] adds to its scores, [B, heads, prefix + N, prefix + N].

        `offsets` are those of all pairs without the prefix, [N, N, 2] or [B, N, N, 2].
        """
        raise NotImplementedError

    def mixed(self, weights: Tensor, offsets: Tensor) -> Tensor:
        """What weights [B, heads, prefix + N, prefix + N] add to the outputs, [B, heads, prefix + N, head_dim]."""
        raise NotImplementedError

    def bias(self, offsets: Tensor) -> Tensor | None:
        """The bias of scores, for offsets from query to key in rows and columns, [..., 2] → [heads, ...]."""
        return None
