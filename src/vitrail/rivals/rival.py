"""The base of all rivals: made as timm makes its Attention, with the same inputs and outputs."""

from typing import Any, ClassVar

from torch import Tensor, nn

from vitrail.attention.self_attention import only_keys
from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid
from vitrail.vectors.sets import Seen, Visible


class Rival(nn.Module):
    """Vectors [B, N, D] → as many.

    A rival is a subclass; `fitted` makes it a class for one network, as timm needs. Arguments of attention that a rival
    has no use for, such as its heads, are ignored.
    """

    grid: ClassVar[Grid] = (1, 1)  # rows and columns
    prefix: ClassVar[int] = 0  # vectors before those of the grid: class and register tokens
    options: ClassVar[dict[str, Any]] = {}  # settings in YAML, with their defaults
    by_head: ClassVar[tuple[str, ...]] = ()  # there are no heads

    def __init__(self, dim: int, num_heads: int = 8, proj_drop: float = 0.0, **others: Any) -> None:
        super().__init__()
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, attn_mask: Seen = None, is_causal: bool = False) -> Tensor:
        """`attn_mask` [B, 1, 1, N] is true where there is a vector."""
        if is_causal:
            raise UsageError("the vectors of an image have no order, so nothing can be causal")
        if isinstance(attn_mask, Visible):
            return self.proj_drop(self.mix_sets(x, attn_mask))  # type: ignore[no-any-return]
        mask = only_keys(attn_mask)
        valid = None if mask is None else mask.expand(x.shape[0], 1, 1, x.shape[1])[:, 0, 0]
        return self.proj_drop(self.mix(x, valid))  # type: ignore[no-any-return]

    def mix_sets(self, x: Tensor, seen: Visible) -> Tensor:
        """The same of sets, whose vectors are anywhere and not on the grid."""
        return self.mix(x, seen.keys[:, 0, 0])

    def mix(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Each vector's output, [B, N, D]; those that are not valid [B, N] have no part in the others'."""
        raise NotImplementedError
