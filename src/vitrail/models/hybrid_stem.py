"""The stem of a Vision Transformer as a CNN: the cells of its feature map are the vectors."""

from typing import Any

import timm
import torch
from timm.layers import HybridEmbed
from torch import nn

from vitrail.errors import UsageError
from vitrail.models.residual import convolution
from vitrail.models.small_cnn import NARROW, residual_stages
from vitrail.models.timm_models import refuse_unknown

BLOCKS = 2  # residual blocks a stage, as many as the small CNN has


class HybridStem(HybridEmbed):
    """The feature map in which a patch of the image is one cell, then 1×1: [B, 3, H, W] → [B, N, D].

    The CNN is timm's `backbone`, else the body of the small residual one, as wide as the vectors at its end.
    """

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, backbone: str, **others: Any
    ) -> None:
        cnn = features_of(backbone, patch_size) if backbone else small_features(patch_size, embed_dim)
        super().__init__(cnn, img_size, patch_size=1, in_chans=in_chans, embed_dim=embed_dim, **others)
        side = img_size // patch_size
        if self.grid_size != (side, side):
            raise UsageError(
                f"'{backbone}' makes {self.grid_size[0]}×{self.grid_size[1]} cells of an image of {img_size}, and not "
                f"one for each of {side}×{side} patches: choose another backbone"
            )


def small_features(patch: int, width: int) -> nn.Module:
    """A stage at full resolution, and one more for each halving."""
    stages = patch.bit_length()
    first = max(NARROW, width // 2 ** (stages - 1))
    return nn.Sequential(*convolution(3, first), *residual_stages(first, stages, BLOCKS))


def features_of(name: str, patch: int) -> nn.Module:
    """A CNN of timm up to the feature map whose cells are as large as the patch."""
    with torch.device("meta"):  # no weights are made
        described: Any = timm.create_model(name, features_only=True)
    reductions: list[int] = described.feature_info.reduction()
    if len(set(reductions)) < len(reductions):
        raise UsageError(
            f"all layers of '{name}' have the same cells, as in a Transformer: choose a CNN, such as resnet18"
        )
    if patch not in reductions:
        raise UsageError(
            f"no feature map of '{name}' has cells of {patch} pixels: choose a patch of "
            f"{', '.join(map(str, reductions))}"
        )
    features: nn.Module = timm.create_model(name, features_only=True, out_indices=(reductions.index(patch),))
    return features


def refuse_unfit(backbone: str, patch: int) -> None:
    """Refuse an unknown CNN, and patches that no number of halvings makes."""
    if backbone:
        refuse_unknown(backbone)
    elif patch & (patch - 1):
        raise UsageError(f"each stage of a CNN halves the image: choose a patch of 1, 2, 4, 8 or 16, not {patch}")
