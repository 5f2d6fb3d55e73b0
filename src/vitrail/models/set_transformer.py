"""A Vision Transformer that takes sets of any number of vectors: images of several shapes in one batch."""

from math import isqrt
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.layers import Attention, PatchDropout, PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.vectors.pooling import Attentive, max_of, mean_of
from vitrail.vectors.positions import Floater
from vitrail.vectors.positions.sincos import waves
from vitrail.vectors.sets import Seen, VectorSet, Visible


class SetTransformer(VisionTransformer):
    """timm's, with its weights and, for pixels, its outputs; it takes a `VectorSet` of patches as well.

    A vector that is padding changes no output: no other vector attends to it, and no pool counts it. On a square grid
    of the network's size the outputs are those for pixels.
    """

    waves: Tensor | None  # of the places 0, 1, … on a line, where positions are waves; they continue on any grid
    are_rows: bool  # whether these are of rows and of columns, or of the place in the sequence

    def forward_features(self, x: Any, attn_mask: Tensor | None = None, is_causal: bool = False) -> Any:
        """Pixels [B, 3, H, W] → vectors [B, N, D]; or sets of patches → sets of vectors."""
        if not isinstance(x, VectorSet):
            return super().forward_features(x, attn_mask, is_causal)
        vectors, x = self.thinned(self.placed(x.with_vectors(self.embedded(x.vectors))), x)
        vectors = self.norm_pre(vectors)
        seen = x.visible(self.num_prefix_tokens)
        for block in self.blocks:
            vectors = block(vectors, attn_mask=seen)
        return x.with_vectors(self.norm(vectors))

    def embedded(self, patches: Tensor) -> Tensor:
        """Patches [B, N, p · p · C], colour last, → vectors [B, N, D], as the convolution of pixels makes them.

        Patches of another side have the weights resized (FlexiViT).
        """
        embed: Any = self.patch_embed
        kernel = embed.proj.weight
        side = isqrt(patches.shape[2] // kernel.shape[1])
        if side != kernel.shape[-1]:
            kernel = resized_kernel(kernel, side)
        weight = kernel.permute(0, 2, 3, 1).flatten(1)
        return cast(Tensor, embed.norm(F.linear(patches, weight, embed.proj.bias)))

    def placed(self, x: VectorSet) -> Tensor:
        """Vectors with their positions added, after the prefix, [B, prefix + N, D]."""
        prefix = [
            token.expand(x.vectors.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None
        ]
        if self.pos_embed is None:
            return torch.cat([*prefix, x.vectors], dim=1)
        has_places = not self.no_embed_class and bool(prefix)  # the prefix, too
        before = self.num_prefix_tokens if has_places else 0
        table: Tensor = self.pos_embed[0]
        vectors = torch.cat([*prefix, x.vectors + self.places(table[before:], x)], dim=1)
        if has_places:
            vectors = vectors + F.pad(table[:before], (0, 0, 0, x.vectors.shape[1]))
        return cast(Tensor, self.pos_drop(vectors))

    def places(self, table: Tensor, x: VectorSet) -> Tensor:
        """The positions of all vectors, [B, N, D]: learned ones are stretched, waves go on."""
        if self.waves is None:
            return stretched(table, x, self.patch_embed.grid_size)
        if self.are_rows:
            return self.waves[x.positions].flatten(2)
        return self.waves[: x.vectors.shape[1]]

    def thinned(self, vectors: Tensor, x: VectorSet) -> tuple[Tensor, VectorSet]:
        """In training each set loses the same share of its vectors, others in each step; never the prefix."""
        if not (self.training and isinstance(self.patch_drop, PatchDropout)):
            return vectors, x
        share = 1 - self.patch_drop.prob
        drawn = torch.rand_like(x.mask, dtype=torch.float32).masked_fill(~x.mask, 1.0)
        counts = (share * x.mask.sum(dim=1, keepdim=True)).round().clamp(min=1)
        lost = drawn.argsort(dim=1).argsort(dim=1) >= counts
        kept = lost.int().argsort(dim=1, stable=True)[:, : int(counts.max())]  # in their order, which rivals read
        mask = torch.arange(kept.shape[1], device=x.device) < counts
        places = x.positions.gather(1, kept.unsqueeze(-1).expand(-1, -1, 2))
        prefix = self.num_prefix_tokens
        chosen = vectors[:, prefix:].gather(1, kept.unsqueeze(-1).expand(-1, -1, vectors.shape[2]))
        return torch.cat([vectors[:, :prefix], chosen], dim=1), VectorSet(chosen, mask, places)

    def pool(self, x: Any, pool_type: str | None = None) -> Tensor:
        if not isinstance(x, VectorSet):
            return super().pool(x, pool_type)
        vectors, mask = x.vectors, x.mask
        if isinstance(self.attn_pool, Attentive):
            return cast(Tensor, self.attn_pool(vectors[:, self.num_prefix_tokens :], mask))
        if self.attn_pool is not None:
            mask = F.pad(mask, (self.num_prefix_tokens if self.pool_include_prefix else 0, 0), value=True)
            return cast(Tensor, self.attn_pool(vectors[:, -mask.shape[1] :], attn_mask=mask[:, None, None]))
        if self.global_pool == "token":
            return vectors[:, 0]
        return POOLS[self.global_pool](vectors[:, self.num_prefix_tokens :], mask)

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """Of sets that the head reads as a whole: all vectors, with the prefix."""
        if not isinstance(x, VectorSet) or self.global_pool:
            return super().forward_head(x, pre_logits)
        read = x.with_prefix(self.num_prefix_tokens)
        return read if pre_logits else self.head(read)


class SetAttention(Attention):
    """timm's, for sets as well."""

    def forward(self, x: Tensor, attn_mask: Seen = None, is_causal: bool = False) -> Tensor:
        if isinstance(attn_mask, Visible):  # onnxruntime's Attention has a row of the mask for each query
            attn_mask = attn_mask.keys.expand(-1, -1, x.shape[1], -1)
        return super().forward(x, attn_mask, is_causal)


def resized_kernel(kernel: Tensor, side: int) -> Tensor:
    """[D, 3, p, p] → [D, 3, side, side]: the products with enlarged patches are those with patches (2212.08013)."""
    old = kernel.shape[-1]
    pixels = torch.eye(old * old, device=kernel.device).reshape(-1, 1, old, old)
    enlarge = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True).flatten(1).T  # [side², p²]
    resized: Tensor = kernel.flatten(2) @ torch.linalg.pinv(enlarge)
    return torch.unflatten(resized, 2, (side, side))


POOLS = {"avg": mean_of, "max": max_of}
WAVES = ("sincos1d", "sincos2d")
Parts = dict[str, tuple[str, ...]]
# What takes sets, of those parts that may not.
ANY_SET: Parts = {"norm": ("layer",)}
# What needs no grid: of squares whose patches are dropped, the others would take them for whole ones.
NO_GRID: Parts = {
    "attention": ("softmax", "additive", "relu", "linear", "inducing"),
    "positions": ("none", "learned", *WAVES),
    "block": ("transformer",),
}

# What reads no order of vectors: the nodes of a graph have none.
NO_ORDER: Parts = {
    "attention": ("graph", *NO_GRID["attention"]),
    "positions": ("none",),
    "block": ("transformer",),
}


def for_sets(network: nn.Module, rule: InputRule, positions: str = "learned") -> SetTransformer:
    """The same network, for images at their own shapes."""
    if type(network) is not VisionTransformer or type(network.patch_embed) is not PatchEmbed:
        raise UsageError(
            f"{type(network).__name__} is no plain Vision Transformer on patches, so its images cannot keep their "
            "shapes: choose another network, or another --data.resize than native"
        )
    (patch, _) = network.patch_embed.patch_size
    if rule.patch not in (None, patch):
        raise UsageError(f"the network has patches of {patch}, and --data.patch is {rule.patch}: choose the same")
    network.__class__ = SetTransformer  # its modules and weights stay as they are
    sets = cast(SetTransformer, network)
    sets.are_rows = positions == "sincos2d"
    width = network.embed_dim // 2 if sets.are_rows else network.embed_dim
    table = waves(torch.arange(rule.vectors), width).float() if positions in WAVES else None
    sets.register_buffer("waves", table, persistent=False)
    for module in sets.modules():
        if isinstance(module, Floater):
            module.longest = rule.vectors
        if type(module) is Attention:
            module.__class__ = SetAttention
    return sets


def refuse_other_parts(architecture: Any, parts: Parts, reason: str) -> None:
    """Refuse parts that are made for all vectors of one grid, or for vectors in an order."""
    for part, known in parts.items():
        spec = getattr(architecture, part)
        name = spec if isinstance(spec, str) else spec["name"]
        if name not in known:
            raise UsageError(f"{reason}, and {part} '{name}' is made for one grid: choose {', '.join(known)}")


def stretched(table: Tensor, x: VectorSet, grid: tuple[int, int]) -> Tensor:
    """A table of positions [h · w, D], its grid stretched over that of each set: [B, N, D].

    That is torch's bilinear interpolation with antialiasing, here by coordinates: sets of a batch have several grids.
    """
    down, across = (shares(x.positions[..., axis], x.grids[:, axis : axis + 1], side) for axis, side in enumerate(grid))
    return (down.unsqueeze(-1) * across.unsqueeze(-2)).flatten(2) @ table


def shares(places: Tensor, lengths: Tensor, side: int) -> Tensor:
    """The weight of each of `side` entries for places [B, N] on lines of these lengths [B, 1]: [B, N, side]."""
    scale = side / lengths.float()
    centres = (places + 0.5) * scale - 0.5  # in entries
    distances = (centres.unsqueeze(-1) - torch.arange(side, device=places.device)).abs()
    weights = (1 - distances / scale.clamp(min=1).unsqueeze(-1)).clamp(min=0)
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)  # padding is beyond the line
