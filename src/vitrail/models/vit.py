"""The Vision Transformer: timm's own, by name or by sizes that suit small images, and any of its parts exchanged."""

from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.attention.choice import Chosen
from vitrail.errors import UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.heads import reads_vectors
from vitrail.models.parts import Parts
from vitrail.models.timm_models import load_matching, named, refuse_unknown
from vitrail.models.warm_start import start_from
from vitrail.tasks.task import TaskName
from vitrail.vectors.grid import Grid
from vitrail.vectors.pooling import Attentive

Pool = Literal["token", "mean", "max", "map", "attentive"]

# The pools in timm's words; attentive is put in its place, and as it weighs the vectors they are normalised before.
POOLS: dict[Pool, dict[str, Any]] = {
    "token": {"global_pool": "token"},
    "mean": {"global_pool": "avg"},
    "max": {"global_pool": "max"},
    "map": {"global_pool": "map"},
    "attentive": {"global_pool": "avg", "fc_norm": False},
}


@dataclass(frozen=True)
class ViT(Architecture):
    """timm's VisionTransformer itself: its state-dict keys, its logits; and where asked other parts in it.

    Args:
        name: any ViT of timm, such as vit_small_patch16_224; it then decides patch, width, depth, heads and pool.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead; without a name,
            the path of another run's checkpoint.
        patch: side of a patch in pixels.
        width: length of the vectors.
        depth: how many blocks of attention.
        heads: attention heads a block; must divide `width`.
        pool: how the set of vectors becomes one.
        dropout: share of numbers dropped inside blocks while training.
        drop_path: share of blocks skipped while training, growing with depth.
        attention: softmax, additive, relu, linear, window, dilated, graph, gpsa or inducing; with settings as
            {name: window, reach: 3}.
        positions: none, learned, sincos2d, relative, quadratic, floater or rope.
        head: linear; cosine (one label an image, trained with a margin); or set (several labels an image, found by
            queries); with settings as {name: cosine, margin: 0.2}.
        block: transformer, or conformer with a convolution in each block.
        norm: layer, or batch.
    """

    patch: int = 4
    width: int = 192
    depth: int = 6
    heads: int = 3
    pool: Pool = "mean"
    dropout: float = 0.0
    drop_path: float = 0.0
    attention: Chosen = "softmax"
    positions: str = "learned"
    head: Chosen = "linear"
    block: Literal["transformer", "conformer"] = "transformer"
    norm: Literal["layer", "batch"] = "layer"

    def __post_init__(self) -> None:
        parts = self.parts()
        parts.check()
        if self.name is None:
            self.check_sizes()
            parts.check_width(self.width, self.heads)

    def check_sizes(self) -> None:
        for size in ("patch", "width", "depth", "heads"):
            if getattr(self, size) < 1:
                raise UsageError(f"{size} must be at least 1, not {getattr(self, size)}")
        if self.width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide a width of {self.width}: choose a width that they do")

    def parts(self) -> Parts:
        return Parts.chosen(self.attention, self.positions, self.head, self.block, self.norm)

    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        parts = self.parts()
        parts.check_task(task, self.pool)
        vectors = reads_vectors(parts.head.name, task)
        if self.name is not None:
            return self.build_named(self.name, classes, image_size, task, {"global_pool": ""} if vectors else {})
        if image_size % self.patch:
            raise UsageError(
                f"patches of {self.patch} do not divide an image of {image_size}: choose a patch that does"
            )
        side = image_size // self.patch
        network = VisionTransformer(
            img_size=image_size,
            patch_size=self.patch,
            num_classes=classes,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            class_token=self.pool == "token",
            proj_drop_rate=self.dropout,
            drop_path_rate=self.drop_path,
            **({"global_pool": ""} if vectors else POOLS[self.pool]),
            **parts.arguments((side, side), prefix=int(self.pool == "token")),
        )
        if self.pool == "attentive":
            network.attn_pool = Attentive(self.width)  # type: ignore[assignment]
        return start_from(parts.put_into(network, task), self.pretrained)

    def build_named(self, name: str, classes: int, image_size: int, task: TaskName, pool: dict[str, Any]) -> nn.Module:
        parts = self.parts()
        if parts == Parts() and not pool:
            network = named(name, classes, self.pretrained, self.drop_path, img_size=image_size)
            return parts.put_into(network, task)
        grid, prefix = places_in(name, image_size)
        arguments = parts.arguments(grid, prefix)
        network = named(name, classes, False, self.drop_path, img_size=image_size, **pool, **arguments)
        network = parts.put_into(network, task)
        if self.pretrained:
            source = named(name, classes, self.pretrained, self.drop_path, img_size=image_size, **pool)
            load_matching(network, source.state_dict())
        return network


def places_in(name: str, image_size: int) -> tuple[Grid, int]:
    """The grid of a network of timm for images of this size, and how many vectors stand before its places."""
    refuse_unknown(name)
    with torch.device("meta"):  # no weights are made
        network = timm.create_model(name, img_size=image_size)
    if type(network) is not VisionTransformer:
        raise UsageError(f"'{name}' is no plain Vision Transformer: its parts cannot be exchanged")
    rows, columns = network.patch_embed.grid_size
    return (rows, columns), network.num_prefix_tokens
