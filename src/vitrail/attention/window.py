"""window: each cell attends to its neighbourhood on the grid, and only that is computed."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.neighbours import attended_in_sets
from vitrail.attention.self_attention import SelfAttention, added, masked_softmax, only_keys
from vitrail.attention.softmax import sdpa
from vitrail.attention.tiles import block_offsets, blocks, cut, inside, joined, pairs_in_tiles, tiles
from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid
from vitrail.vectors.sets import Seen, Visible, mask_of, square


class Window(SelfAttention):
    """softmax over the (2 · reach + 1)² cells around, at a cost that grows with N.

    Each head may have a reach of its own; all cost as much as the largest. Prefix tokens see all vectors, and all see
    them.
    """

    options: ClassVar[dict[str, Any]] = {"reach": 3}
    by_head = ("reach",)
    allowed: (
        Tensor  # [tiles, reaches, TILE², block²], or [N, N] or [reaches, N, N] where the grid is too small for tiles
    )
    offsets: Tensor  # [TILE², block², 2]

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        self.reaches = reaches_of(self.options["reach"], self.num_heads)  # one, or one for each head
        self.reach = max(self.reaches)
        self.step = self.options.get("step", 1)
        self.tiled = self.step**2 * pairs_in_tiles(self.lattice, self.reach) < (self.grid[0] * self.grid[1]) ** 2
        near = self.near()
        allowed = inside(self.lattice, self.reaches) if self.tiled else near[0] if len(near) == 1 else near
        self.register_buffer("allowed", allowed, False)
        self.register_buffer("offsets", block_offsets(self.reach) * self.step, False)

    @property
    def lattice(self) -> Grid:
        """The grid that is cut into tiles: every `step`-th cell."""
        return -(-self.grid[0] // self.step), -(-self.grid[1] // self.step)

    def near(self, seen: Seen = None) -> Tensor:
        """Which pairs of all vectors see each other, [reaches, N, N]; of sets [B, reaches, N, N]."""
        near = self.neighbours(self.offsets_of(seen))
        return F.pad(near, (self.prefix, 0, self.prefix, 0), value=True)

    def neighbours(self, offsets: Tensor) -> Tensor:
        """Whether cells this far apart, [..., N, N, 2], see each other: [..., reaches, N, N]."""
        reaches = self.step * torch.tensor(self.reaches, device=offsets.device)[:, None, None]
        on_lattice: Tensor = (offsets % self.step == 0).all(dim=-1).unsqueeze(-3)
        near: Tensor = offsets.abs().amax(dim=-1).unsqueeze(-3) <= reaches
        return on_lattice & near

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        drop = self.attn_drop.p if self.training else 0.0
        if not self.tiled:
            allowed = self.allowed if seen is None else self.allowed & seen
            return sdpa(q, k, v, allowed, self.full_bias(), drop)
        seen = only_keys(seen)
        p = self.prefix
        cells = self.in_tiles(q[:, :, p:], k, v, seen, drop)
        return cells if not p else torch.cat([sdpa(q[:, :, :p], k, v, seen, None, drop), cells], dim=2)

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        offsets = square(self.reach, self.step)
        near = self.neighbours(torch.tensor(offsets, device=q.device)[None])[:, 0] if len(self.reaches) > 1 else None
        return attended_in_sets(self, q, k, v, seen, offsets, near)

    def in_tiles(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, drop: float) -> Tensor:
        """Queries of cells, keys and values of all vectors → outputs of cells, [B, heads, cells, head_dim]."""
        p, grid, reach = self.prefix, self.lattice, self.reach
        count = tiles(grid)[0] * tiles(grid)[1]

        def gathered(x: Tensor) -> Tensor:
            """[B, heads, N, d] → [B · tiles, heads, prefix + block², d]"""
            around = blocks(x[:, :, p:], grid, reach)
            return torch.cat([x[:, :, :p].repeat_interleave(count, dim=0), around], dim=2) if p else around

        mask = F.pad(self.allowed, (p, 0), value=True).repeat(q.shape[0], 1, 1, 1)
        if seen is not None:
            all_seen = seen.expand(q.shape[0], 1, 1, k.shape[2]).transpose(2, 3).to(q.dtype)  # [B, 1, N, 1]
            mask = mask & (gathered(all_seen) > 0).transpose(2, 3)
        bias = self.bias(self.offsets)
        if bias is not None:
            bias = F.pad(bias, (p, 0))
        return joined(sdpa(cut(q, grid), gathered(k), gathered(v), mask, bias, drop), grid)

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        near, keys = self.near(seen).to(q.device), mask_of(seen)
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias(seen))
        return masked_softmax(scores, near if keys is None else near & keys)


def reaches_of(reach: int | list[int], heads: int) -> list[int]:
    """The reach of all heads as one number, or where they differ as one for each."""
    reaches = [reach] * heads if isinstance(reach, int) else reach
    if len(reaches) != heads:
        raise UsageError(f"{len(reaches)} reaches do not fit {heads} heads: give one number for all, or one for each")
    return reaches[:1] if len(set(reaches)) == 1 else reaches
