"""Self-attention with its middle open: projections and heads are timm's, how values are mixed is each mechanism's."""

from typing import Any, ClassVar

import torch
from timm.layers import Attention
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, places_of
from vitrail.vectors.positions.inside import Positions


class SelfAttention(Attention):
    """timm's Attention, by whose keys weights load, around `mix`.

    A mechanism is a subclass; `fitted` makes of it a class for one network, which is what timm asks for.
    """

    grid: ClassVar[Grid] = (1, 1)  # rows and columns of the vectors that are places
    prefix: ClassVar[int] = 0  # vectors before them that are no places: class and register tokens
    positions_of: ClassVar[Any] = None  # makes the positions of one layer: (grid, heads, head_dim) → Positions
    options: ClassVar[dict[str, int]] = {}  # what YAML may set, with what it is otherwise
    scored: ClassVar[bool] = True  # whether pairs have scores, to which positions could be added

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        make = self.positions_of or Positions
        self.positions: Positions = make(self.grid, self.num_heads, self.head_dim)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Vectors [B, N, D] → as many; `attn_mask` is true where a query (row) may see a key (column)."""
        if is_causal:
            raise UsageError("places of an image have no order in time, so attention to them cannot be causal")
        mixed = self.mix(*self.heads(x), attn_mask)  # [B, heads, N, head_dim]
        return self.merge(mixed)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, heads, N, head_dim], as positions change them."""
        b, n, _ = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        return self.positions.shift(self.q_norm(q), self.k_norm(k), v, self.prefix)

    def merge(self, mixed: Tensor) -> Tensor:
        """What the heads found [B, heads, N, head_dim], side by side and projected: [B, N, D]."""
        x: Tensor = mixed.transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(self.norm(x)))  # type: ignore[no-any-return]

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        """Each query's mixture of values, [B, heads, N, head_dim]; `seen` broadcasts to [B, heads, N, N]."""
        return self.dropped(self.weigh(q, k, seen)) @ v

    def weigh(self, q: Tensor, k: Tensor, seen: Tensor | None) -> Tensor:
        """How much each query takes of each value, [B, heads, N, N]."""
        raise NotImplementedError

    def weights(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """The same of vectors [B, N, D]: what attention maps show."""
        q, k, _ = self.heads(x)
        return self.weigh(q, k, seen)

    def dropped(self, weights: Tensor) -> Tensor:
        return self.attn_drop(weights)  # type: ignore[no-any-return]

    def bias(self, places: Tensor) -> Tensor | None:
        """What positions add to scores, for offsets [..., 2] between places: [heads, ...]."""
        return self.positions.bias(places)

    def full_bias(self) -> Tensor | None:
        """The same for all pairs of vectors, [heads, N, N]; pairs with a vector that is no place get nothing."""
        if not self.positions.adds_to_scores:
            return None  # before N² offsets are made for nothing
        places = places_of(self.grid, self.qkv.weight.device)
        bias = self.bias(places[None, :] - places[:, None])
        if bias is None or not self.prefix:
            return bias
        return nn.functional.pad(bias, (self.prefix, 0, self.prefix, 0))


def fitted(
    mechanism: type[SelfAttention], grid: Grid, prefix: int, positions_of: Any = None, **options: int
) -> type[SelfAttention]:
    """The mechanism for one network's grid: a class, for timm makes the modules itself."""
    settings: dict[str, Any] = {
        "__module__": mechanism.__module__,
        "grid": grid,
        "prefix": prefix,
        "options": {**mechanism.options, **options},
    }
    if positions_of is not None:
        settings["positions_of"] = staticmethod(positions_of)
    return type(mechanism.__name__, (mechanism,), settings)


def masked_softmax(scores: Tensor, seen: Tensor | None) -> Tensor:
    """Softmax over what is seen; a row that sees nothing is all zeros, and has no gradient that is no number."""
    if seen is None:
        return scores.softmax(dim=-1)
    least = torch.finfo(scores.dtype).min
    return scores.masked_fill(~seen, least).softmax(dim=-1).masked_fill(~seen, 0.0)


def added(scores: Tensor, bias: Tensor | None) -> Tensor:
    return scores if bias is None else scores + bias


def only_keys(seen: Tensor | None) -> Tensor | None:
    """The same mask, once it is sure that it says the same for all queries: [..., 1, N]."""
    if seen is not None and (seen.ndim < 2 or seen.shape[-2] != 1):
        raise UsageError("attention that sums keys up for all queries at once can leave out vectors, but no pairs")
    return seen
