"""conformer: a block of attention and, between the halves of its MLP, a convolution over the grid of vectors."""

from typing import Any, ClassVar

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.sets import Seen, Visible

KERNEL = 3


class Conformer(nn.Module):
    """x + ½ MLP, + attention, + convolution, + ½ MLP, normalised at the end (2005.08100, the convolution in 2-D).

    timm's VisionTransformer makes it instead of its Block, so it has Block's arguments.
    """

    grid: ClassVar[Grid] = (1, 1)
    prefix: ClassVar[int] = 0

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        attn_layer: Any,
        norm_layer: Any,
        proj_drop: float = 0.0,
        drop_path: float = 0.0,
        qkv_bias: bool = False,
        **others: Any,
    ) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1, self.norm2, self.norm3 = norm_layer(dim), norm_layer(dim), norm_layer(dim)
        self.before = Mlp(dim, hidden, act_layer=nn.SiLU, drop=proj_drop)
        self.attn = attn_layer(dim, num_heads=num_heads, qkv_bias=qkv_bias, proj_drop=proj_drop, norm_layer=norm_layer)
        self.convolution = GridConvolution(dim, self.grid, self.prefix, norm_layer)
        self.after = Mlp(dim, hidden, act_layer=nn.SiLU, drop=proj_drop)
        self.norm = norm_layer(dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, attn_mask: Seen = None, is_causal: bool = False) -> Tensor:
        """[B, N, D] → [B, N, D]"""
        x = x + self.drop_path(0.5 * self.before(self.norm1(x)))
        x = x + self.drop_path(self.attn(self.norm2(x), attn_mask=attn_mask, is_causal=is_causal))
        x = x + self.drop_path(self.convolution(x, attn_mask))
        x = x + self.drop_path(0.5 * self.after(self.norm3(x)))
        return self.norm(x)  # type: ignore[no-any-return]


class GridConvolution(nn.Module):
    """norm → 1×1 → GLU → depthwise k×k → BatchNorm → Swish → 1×1; prefix tokens stay as they are."""

    def __init__(self, dim: int, grid: Grid, prefix: int, norm_layer: Any) -> None:
        super().__init__()
        self.grid = grid
        self.prefix = prefix
        self.norm = norm_layer(dim)
        self.widen = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv2d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim, bias=False)
        self.batch_norm = nn.BatchNorm2d(dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor, seen: Seen = None) -> Tensor:
        """The residual of the vectors [B, N, D]."""
        x = x[:, self.prefix :]
        gated = nn.functional.glu(self.widen(self.norm(x)), dim=-1)
        if isinstance(seen, Visible):
            convolved = self.project(nn.functional.silu(self.of_sets(gated, seen)))
            return nn.functional.pad(convolved, (0, 0, self.prefix, 0))
        if seen is not None and seen.shape[-2] == 1:  # masked cells are no neighbours either
            gated = gated * seen[..., self.prefix :].reshape(seen.shape[0], -1, 1)
        on_grid = torch.unflatten(gated.transpose(1, 2), 2, self.grid)  # [B, D, rows, columns]
        convolved = nn.functional.silu(self.batch_norm(self.depthwise(on_grid)))
        convolved = self.project(convolved.flatten(2).transpose(1, 2))
        return nn.functional.pad(convolved, (0, 0, self.prefix, 0))

    def of_sets(self, gated: Tensor, seen: Visible) -> Tensor:
        """The normalised convolution of sets [B, N, D], whose neighbours are found by their offsets."""
        convolved = torch.zeros_like(gated)
        for row, column, neighbours in seen.around(gated, KERNEL):
            convolved = convolved + neighbours * self.depthwise.weight[:, 0, row, column]
        if not self.training:
            return self.batch_norm(convolved.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)  # type: ignore[no-any-return]
        present = seen.keys[:, 0, 0, self.prefix :]  # padding has no part in the statistics of the batch
        normalised = self.batch_norm(convolved[present][..., None, None])[..., 0, 0]
        return torch.zeros_like(convolved).masked_scatter(present.unsqueeze(2), normalised)


def conformer(grid: Grid, prefix: int) -> type[Conformer]:
    """The block for one network's grid: a class, since timm makes the instances."""
    return type("Conformer", (Conformer,), {"grid": grid, "prefix": prefix})
