"""The stem of a Vision Transformer as convolutions instead of patches, for small images."""

from typing import Any

from timm.layers import HybridEmbed
from torch import nn

from vitrail.errors import UsageError
from vitrail.models.residual import convolution, residual

# The strides of three convolutions, by the side of the patches whose grid they make.
STRIDES = {2: (1, 2, 1), 4: (1, 2, 2), 8: (2, 2, 2)}


class ConvStem(HybridEmbed):
    """3×3 to half the width, 3×3 to all of it, a residual block, 3×3, and 1×1: [B, 3, H, W] → [B, N, D].

    timm's VisionTransformer makes it instead of its PatchEmbed, so it has PatchEmbed's arguments.
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **others: Any) -> None:
        first, second, third = STRIDES[patch_size]
        backbone = nn.Sequential(
            *convolution(in_chans, embed_dim // 2, first),
            *convolution(embed_dim // 2, embed_dim, second),
            residual(embed_dim, embed_dim),
            *convolution(embed_dim, embed_dim, third),
        )
        super().__init__(backbone, img_size, patch_size=1, in_chans=in_chans, embed_dim=embed_dim, **others)


def refuse_other_patches(patch: int) -> None:
    if patch not in STRIDES:
        raise UsageError(f"a stem of convolutions stands for patches of {', '.join(map(str, STRIDES))}, not {patch}")
