"""The stem of a Vision Transformer whose patches overlap: each sees half of its neighbours too."""

from typing import Any

from timm.layers import PatchEmbed
from torch import nn

from vitrail.errors import UsageError


class OverlappingPatches(PatchEmbed):
    """One matrix for windows of twice the patch, around the middle of each patch: [B, 3, H, W] → [B, N, D].

    Beyond the border there are zeros, so the grid is that of patches that do not overlap.
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **others: Any) -> None:
        super().__init__(img_size, patch_size, in_chans, embed_dim, **others)
        margin = patch_size // 2
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size + 2 * margin, stride=patch_size, padding=margin)


def refuse_pixels(patch: int) -> None:
    if patch < 2:
        raise UsageError("patches of one pixel cannot overlap: choose a larger patch, or the stem patches")
