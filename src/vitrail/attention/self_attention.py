"""The base of all mechanisms: projections and heads are timm's, the mixing of values is each mechanism's."""

from typing import Any, ClassVar, TypeVar

import torch
from timm.layers import Attention
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.positions.inside import Positions
from vitrail.vectors.sets import Seen, Visible, mask_of

Mixer = TypeVar("Mixer", bound=nn.Module)


class SelfAttention(Attention):
    """timm's Attention, with its state-dict keys, around `mix`.

    A mechanism is a subclass; `fitted` makes it a class for one network, as timm needs.
    """

    grid: ClassVar[Grid] = (1, 1)  # rows and columns
    prefix: ClassVar[int] = 0  # vectors before those of the grid: class and register tokens
    positions_of: ClassVar[Any] = None  # makes the positions of one layer: (grid, heads, head_dim) → Positions
    options: ClassVar[dict[str, Any]] = {}  # settings in YAML, with their defaults
    by_head: ClassVar[tuple[str, ...]] = ()  # those of which each head may have its own
    scored: ClassVar[bool] = True  # whether pairs have scores, to which positions could be added

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        make = self.positions_of or Positions
        self.positions: Positions = make(self.grid, self.num_heads, self.head_dim)

    def forward(self, x: Tensor, attn_mask: Seen = None, is_causal: bool = False) -> Tensor:
        """Vectors [B, N, D] → as many; `attn_mask` is true where a query (row) may see a key (column).

        Or it is what is visible of sets, whose vectors are anywhere and not on the grid.
        """
        if is_causal:
            raise UsageError("the vectors of an image have no order, so attention cannot be causal")
        q, k, v = self.heads(x, attn_mask)
        if isinstance(attn_mask, Visible):
            return self.merge(self.mix_sets(q, k, v, attn_mask))
        return self.merge(self.mix(q, k, v, attn_mask))  # of [B, heads, N, head_dim]

    def heads(self, x: Tensor, seen: Seen = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, heads, N, head_dim], with positions applied."""
        b, n, _ = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        cells = seen.positions if isinstance(seen, Visible) else None
        return self.positions.shift(self.q_norm(q), self.k_norm(k), v, self.prefix, cells)

    def merge(self, mixed: Tensor) -> Tensor:
        """The outputs of all heads [B, heads, N, head_dim], concatenated and projected: [B, N, D]."""
        x: Tensor = mixed.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(self.norm(x)))  # type: ignore[no-any-return]

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        """Each query's mixture of values, [B, heads, N, head_dim]; `seen` broadcasts to [B, heads, N, N]."""
        return self.dropped(self.weigh(q, k, seen)) @ v

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        """The same for sets, whose pairs are all computed, those that do not see each other too."""
        return self.dropped(self.weigh(q, k, seen)) @ v

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        """The weight of each value for each query, [B, heads, N, N]."""
        raise NotImplementedError

    def weights(self, x: Tensor, seen: Seen = None) -> Tensor:
        """The weights for vectors [B, N, D], as attention maps show them."""
        q, k, _ = self.heads(x, seen)
        return self.weigh(q, k, seen)

    def dropped(self, weights: Tensor) -> Tensor:
        return self.attn_drop(weights)  # type: ignore[no-any-return]

    def bias(self, offsets: Tensor) -> Tensor | None:
        """The bias of scores by positions, for offsets [..., 2] between cells: [heads, ...]."""
        return self.positions.bias(offsets)

    def offsets_of(self, seen: Seen = None) -> Tensor:
        """From each cell to each other, [N, N, 2]; of sets [B, N, N, 2]."""
        if isinstance(seen, Visible):
            return seen.offsets
        cells = cells_of(self.grid, self.qkv.weight.device)
        return cells[None, :] - cells[:, None]

    def full_bias(self, seen: Seen = None) -> Tensor | None:
        """The same for all pairs of vectors, [heads, N, N] or [B, heads, N, N]; zero for pairs with a prefix token."""
        if not self.positions.adds_to_scores:
            return None
        bias = self.bias(self.offsets_of(seen))
        if bias is not None and isinstance(seen, Visible):
            bias = bias.movedim(0, 1)
        if bias is None or not self.prefix:
            return bias
        return nn.functional.pad(bias, (self.prefix, 0, self.prefix, 0))


def fitted(mechanism: type[Mixer], grid: Grid, prefix: int, positions_of: Any = None, **options: Any) -> type[Mixer]:
    """The mechanism for one network's grid: a class, since timm makes the instances."""
    made: Any = mechanism
    settings: dict[str, Any] = {
        "__module__": made.__module__,
        "grid": grid,
        "prefix": prefix,
        "options": {**made.options, **options},
    }
    if positions_of is not None:
        settings["positions_of"] = staticmethod(positions_of)
    fitted_class: type[Mixer] = type(made.__name__, (made,), settings)
    return fitted_class


def masked_softmax(scores: Tensor, seen: Seen) -> Tensor:
    """Softmax over visible keys; a row without any is all zeros, with finite gradients."""
    seen = mask_of(seen)
    if seen is None:
        return scores.softmax(dim=-1)
    least = torch.finfo(scores.dtype).min
    return scores.masked_fill(~seen, least).softmax(dim=-1).masked_fill(~seen, 0.0)


def added(scores: Tensor, bias: Tensor | None) -> Tensor:
    return scores if bias is None else scores + bias


def only_keys(seen: Seen) -> Tensor | None:
    """The mask, checked to be the same for all queries: [..., 1, N]."""
    seen = mask_of(seen)
    if seen is not None and (seen.ndim < 2 or seen.shape[-2] != 1):
        raise UsageError("attention that sums keys once for all queries can mask vectors, but no pairs")
    return seen
