"""The Vision Transformer: timm's own, by name or by sizes that suit small images, with components to exchange."""

from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.attention.component import Component, ComponentSpec, parse_component
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models.architecture import Architecture
from vitrail.models.components import Components
from vitrail.models.heads import reads_vectors, zero_head
from vitrail.models.set_transformer import ANY_SET, NO_GRID, NO_ORDER, for_sets, refuse_other_parts
from vitrail.models.stems import STEMS, check_stem, stem_arguments
from vitrail.models.timm_models import load_matching, named, refuse_unknown
from vitrail.models.warm_start import start_from
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName
from vitrail.vectors.grid import Grid
from vitrail.vectors.pooling import Attentive

Pool = Literal["token", "mean", "max", "map", "attentive"]
Start = Literal["timm", "xavier"]

# timm's arguments. Attentive pooling replaces timm's; it weighs the vectors, so they are normalised before it.
POOLS: dict[Pool, dict[str, Any]] = {
    "token": {"global_pool": "token"},
    "mean": {"global_pool": "avg"},
    "max": {"global_pool": "max"},
    "map": {"global_pool": "map"},
    "attentive": {"global_pool": "avg", "fc_norm": False},
}

# MoCo v3's: Xavier for all linear layers, queries, keys and values apart, and no biases.
STARTS: dict[Start, dict[str, Any]] = {"timm": {}, "xavier": {"weight_init": "moco"}}


@dataclass(frozen=True)
class ViT(Architecture):
    """timm's VisionTransformer itself: with its state-dict keys and logits, and optionally other components.

    Args:
        name: any ViT of timm, such as vit_small_patch16_224; it then decides patch, width, depth, heads and pool.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead, and
            hf-hub:USER/REPOSITORY from the Hugging Face Hub; or the path of another run's checkpoint, a file of the
            name .ckpt.
        patch: side of a patch in pixels; with 1, each pixel is a vector.
        width: length of the vectors.
        depth: number of attention blocks.
        heads: attention heads a block; must divide `width`.
        pool: how the set of vectors becomes one.
        dropout: dropout rate inside blocks.
        drop_path: rate of skipped blocks while training (stochastic depth), growing with depth.
        attention: softmax, additive, relu, linear, window, dilated, graph, gpsa or inducing; settings as
            {name: window, reach: 3}, or [1, 2, 3] in place of the 3 for each of three heads. Or a rival in its place:
            fc (as {name: fc, reach: 1}), lstm or gru.
        positions: none, learned, sincos1d, sincos2d, conditional, relative, shaw, quadratic, floater or rope.
        head: linear; cosine (one label an image, trained with a margin); set (several labels an image, found by
            queries); autoregressive or parallel (a sequence of labels, at most `length`, one after the other or all
            at once); or boxes (with labels, found by queries); settings as {name: cosine, margin: 0.2}.
        block: transformer, or conformer with a convolution in each block.
        norm: layer, or batch.
        stem: patches; overlapping, whose windows are twice as high and wide; conv: 3×3 convolutions whose strides make
            the grid of patches of 2, 4 or 8; or hybrid: a residual CNN whose feature map has a cell for each patch, or
            a CNN of timm, as {name: hybrid, backbone: mobilenetv2_100}.
        start: the initial weights: timm, or xavier, whose scale follows the width: for narrow networks from scratch.
        drop_patches: share of the patches that each training image loses, others in each step, which is as much faster.

    Examples:
        >>> network = vitrail.ViT(patch=4, width=64, depth=2, heads=4).build(classes=10, image_size=32)
        >>> network(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    patch: int = 4
    width: int = 192
    depth: int = 6
    heads: int = 3
    pool: Pool = "mean"
    dropout: float = 0.0
    drop_path: float = 0.0
    attention: ComponentSpec = "softmax"
    positions: str = "learned"
    head: ComponentSpec = "linear"
    block: Literal["transformer", "conformer"] = "transformer"
    norm: Literal["layer", "batch"] = "layer"
    stem: ComponentSpec = "patches"
    start: Start = "timm"
    drop_patches: float = 0.0

    def __post_init__(self) -> None:
        components = self.components()
        components.check()
        stem = self.parsed_stem()
        if not 0 <= self.drop_patches < 1:
            raise UsageError(f"drop_patches is a share from 0 to below 1, not {self.drop_patches}")
        if self.drop_patches:
            refuse_other_parts(self, ANY_SET, "drop_patches leaves images of any number of vectors")
        if self.name is None:
            self.check_sizes()
            components.check_width(self.width, self.heads)
            check_stem(stem, self.patch)
        elif (self.stem, self.start) != ("patches", "timm"):
            raise UsageError(f"'{self.name}' has a stem and a start of its own: leave out stem and start, or the name")

    def check_sizes(self) -> None:
        for size in ("patch", "width", "depth", "heads"):
            if getattr(self, size) < 1:
                raise UsageError(f"{size} must be at least 1, not {getattr(self, size)}")
        if self.width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide a width of {self.width}: choose another width")

    def parsed_stem(self) -> Component:
        return parse_component("stem", self.stem, STEMS)

    def components(self) -> Components:
        return Components.parse(self.attention, self.positions, self.head, self.block, self.norm)

    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        if self.drop_patches:
            refuse_other_parts(self, NO_GRID, "drop_patches leaves squares as images of any number of vectors")
        return self.network(classes, image_size, task)

    def network(self, classes: int, image_size: int, task: TaskName) -> nn.Module:
        components = self.components()
        components.check_task(task, self.pool)
        if self.drop_patches and TASKS[task].per_cell:
            raise UsageError(f"the task is {task}, which needs all patches: leave out drop_patches")
        vectors = reads_vectors(components.head.name, task)
        if self.name is not None:
            others: dict[str, Any] = {"patch_drop_rate": self.drop_patches} if self.drop_patches else {}
            others |= {"global_pool": ""} if vectors else {}
            built = self.build_named(self.name, classes, image_size, task, others)
            return start_from(built, self.run_it_starts_from or False)
        if image_size % self.patch:
            raise UsageError(
                f"patches of {self.patch} do not divide an image of {image_size}: choose a patch that does"
            )
        side = image_size // self.patch
        stem = stem_arguments(self.parsed_stem())
        return self.of_sizes((side, side), {"img_size": image_size, "patch_size": self.patch, **stem}, classes, task)

    def of_sizes(self, grid: Grid, embedding: dict[str, Any], classes: int, task: TaskName) -> nn.Module:
        """The network for a grid of vectors, which timm's `embedding` makes."""
        components = self.components()
        network = VisionTransformer(
            num_classes=classes,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            class_token=self.pool == "token",
            proj_drop_rate=self.dropout,
            drop_path_rate=self.drop_path,
            patch_drop_rate=self.drop_patches,
            **embedding,
            **STARTS[self.start],
            **({"global_pool": ""} if reads_vectors(components.head.name, task) else POOLS[self.pool]),
            **components.arguments(grid, prefix=int(self.pool == "token")),
        )
        if self.pool == "attentive":
            network.attn_pool = Attentive(self.width)  # type: ignore[assignment]
        made = components.put_into(network, task)
        return start_from(zero_head(made) if self.start == "xavier" else made, self.pretrained)

    def build_for(self, rule: InputRule, classes: int, task: TaskName = "classification") -> nn.Module:
        if not rule.is_native:
            return self.build(classes, rule.size, task)
        if TASKS[task].per_cell:
            raise UsageError(f"the task is {task}, whose maps are squares: choose another --data.resize than native")
        refuse_other_parts(self, ANY_SET, "--data.resize native has images of any number of vectors")
        if rule.width is not None:
            if rule.edges:
                self.check_graphs()
            return for_sets(self.of_vectors(rule.size, rule.width - rule.edges, classes, task), rule, self.positions)
        return for_sets(self.network(classes, rule.size, task), rule, self.positions)

    def check_graphs(self) -> None:
        refuse_other_parts(self, NO_ORDER, "the nodes of a graph have no order")
        if self.drop_patches:
            raise UsageError("edges lead to all nodes of a graph: leave out drop_patches")

    def of_vectors(self, most: int, width: int, classes: int, task: TaskName) -> nn.Module:
        """The network for sets of vectors: a row of pixels of so many colours, each of which is a patch."""
        if self.name is not None or self.stem != "patches":
            raise UsageError("the data are vectors and no images: leave out name and stem")
        self.components().check_task(task, self.pool)
        return self.of_sizes((1, most), {"img_size": (1, most), "patch_size": 1, "in_chans": width}, classes, task)

    def build_named(
        self, name: str, classes: int, image_size: int, task: TaskName, others: dict[str, Any]
    ) -> nn.Module:
        components = self.components()
        if components == Components() and "global_pool" not in others:
            network = named(name, classes, self.timm_weights, self.drop_path, img_size=image_size, **others)
            return components.put_into(network, task)
        grid, prefix = grid_in(name, image_size)
        arguments = components.arguments(grid, prefix)
        network = named(name, classes, False, self.drop_path, img_size=image_size, **others, **arguments)
        network = components.put_into(network, task)
        if self.timm_weights:
            source = named(name, classes, self.timm_weights, self.drop_path, img_size=image_size, **others)
            load_matching(network, source.state_dict())
        return network


def grid_in(name: str, image_size: int) -> tuple[Grid, int]:
    """The grid of a network of timm for images of this size, and its number of prefix tokens."""
    refuse_unknown(name)
    with torch.device("meta"):  # no weights are made
        network = timm.create_model(name, img_size=image_size)
    if type(network) is not VisionTransformer:
        raise UsageError(f"'{name}' is no plain Vision Transformer: its components cannot be exchanged")
    rows, columns = network.patch_embed.grid_size
    return (rows, columns), network.num_prefix_tokens
