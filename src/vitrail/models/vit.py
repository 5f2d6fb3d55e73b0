"""The Vision Transformer: timm's own, by name or by sizes that suit small pictures."""

from dataclasses import dataclass
from typing import Literal

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.errors import UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.named import named, refuse_weights_without_name

Pool = Literal["token", "avg", "max", "map"]


@dataclass(frozen=True)
class ViT(Architecture):
    """timm's VisionTransformer itself: its state-dict keys, its logits.

    Args:
        name: any ViT of timm, such as vit_small_patch16_224; it then decides patch, width, depth, heads and pool.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead.
        patch: side of a patch in pixels.
        width: length of the vectors.
        depth: how many blocks of attention.
        heads: attention heads a block; must divide `width`.
        pool: how the set of vectors becomes one.
        dropout: share of numbers dropped inside blocks while training.
        drop_path: share of blocks skipped while training, growing with depth.
    """

    patch: int = 4
    width: int = 192
    depth: int = 6
    heads: int = 3
    pool: Pool = "avg"
    dropout: float = 0.0
    drop_path: float = 0.0

    def build(self, classes: int, image_size: int) -> nn.Module:
        if self.name is not None:
            return named(self.name, classes, self.pretrained, self.drop_path, img_size=image_size)
        refuse_weights_without_name(self.pretrained)
        if image_size % self.patch:
            raise UsageError(
                f"patches of {self.patch} do not divide a picture of {image_size}: choose a patch that does"
            )
        if self.width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide a width of {self.width}: choose a width that they do")
        return VisionTransformer(
            img_size=image_size,
            patch_size=self.patch,
            num_classes=classes,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            global_pool=self.pool,
            class_token=self.pool == "token",
            proj_drop_rate=self.dropout,
            drop_path_rate=self.drop_path,
        )
