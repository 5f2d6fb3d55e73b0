"""Blocks whose input gets conditional positions first."""

from typing import Any, ClassVar

from torch import Tensor

from vitrail.vectors.grid import Grid
from vitrail.vectors.positions import Conditional
from vitrail.vectors.sets import Seen


class ConditionalBlock:
    """What is mixed into timm's Block or ours, with its arguments."""

    grid: ClassVar[Grid] = (1, 1)
    prefix: ClassVar[int] = 0

    def __init__(self, dim: int, num_heads: int, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)  # type: ignore[call-arg]
        self.positions = Conditional(dim, self.grid, self.prefix)

    def forward(self, x: Tensor, attn_mask: Seen = None, is_causal: bool = False) -> Tensor:
        """[B, N, D] → [B, N, D]"""
        mixed: Tensor = super().forward(self.positions(x, attn_mask), attn_mask, is_causal)  # type: ignore[misc]
        return mixed


def conditional(block: type, grid: Grid, prefix: int) -> type:
    """The block for one network's grid: a class, since timm makes the instances."""
    return type("ConditionalBlock", (ConditionalBlock, block), {"grid": grid, "prefix": prefix})
