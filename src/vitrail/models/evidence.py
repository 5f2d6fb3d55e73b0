"""Evidence: what each cell of an image adds to each class, exact where the head allows it, else by occlusion."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from timm.layers import ClassifierHead, NormMlpClassifierHead
from timm.models.convnext import ConvNeXt
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.model_file.explanation import Grid
from vitrail.models.network import logits_and_embedding
from vitrail.models.small_cnn import SmallCNN
from vitrail.vectors.pooling import Attentive

MOST_CELLS = 14  # a side: each cell costs one more forward pass
CELLS_WITHOUT_PATCHES = 7


@dataclass(frozen=True)
class MeanHead:
    """A head that reads nothing but the mean over cells, uniform or weighted: perhaps a norm, then a linear layer."""

    norm: nn.LayerNorm | None
    linear: nn.Linear
    prefix: int | None  # tokens before the cells; None where features are a map [N, D, h, w]
    pool: Attentive | None = None  # how cells are weighted


def mean_head(network: nn.Module) -> MeanHead | None:
    """The head of this network as a MeanHead, or None: only then is evidence exact."""
    # Subclasses may pool otherwise, so the classes are compared themselves.
    if type(network) is SmallCNN:
        return MeanHead(None, network.head, None)
    if type(network) is VisionTransformer:
        return mean_head_of_vit(network)
    if type(network) is ResNet and pools_mean(network):
        return checked(None, network.fc, None)
    if type(network) is ConvNeXt and pools_mean(network.head):
        head: Any = network.head
        if type(head) is ClassifierHead:
            return checked(None, head.fc, None)
        if type(head) is NormMlpClassifierHead and isinstance(head.pre_logits, nn.Identity):
            return checked(head.norm, head.fc, None)
    return None


def mean_head_of_vit(network: VisionTransformer) -> MeanHead | None:
    prefix = network.num_prefix_tokens
    pool: Any = network.attn_pool
    if isinstance(pool, Attentive) and isinstance(network.fc_norm, nn.Identity):
        return checked(None, network.head, prefix, pool)
    if network.attn_pool is not None or network.global_pool != "avg" or (prefix and network.pool_include_prefix):
        return None
    return checked(network.fc_norm, network.head, prefix)


def pools_mean(owner: Any) -> bool:
    """Whether timm's `global_pool` of a CNN or of its head is the mean, under either of its names."""
    return owner.global_pool.pool_type in ("avg", "fast", "fastavg")


def checked(
    norm: nn.Module | None, linear: nn.Module, prefix: int | None, pool: Attentive | None = None
) -> MeanHead | None:
    if not isinstance(linear, nn.Linear):
        return None
    if norm is None or isinstance(norm, nn.Identity):
        return MeanHead(None, linear, prefix, pool)
    return MeanHead(norm, linear, prefix) if isinstance(norm, nn.LayerNorm) else None


def pooled_cells(head: MeanHead, features: Tensor) -> Tensor:
    """What is pooled: features of a network as one vector a cell, [N, h·w, D]."""
    if head.prefix is None:
        return features.flatten(2).transpose(1, 2)
    return features[:, head.prefix :]


def exact_evidence(head: MeanHead, features: Tensor, grid: Grid) -> Tensor:
    """Features → evidence [N, K, h, w] whose mean over cells equals the logits."""
    x = pooled_cells(head, features)
    if head.pool is not None:  # a cell's share, times how many there are: so that their mean is the weighted sum
        x = x * head.pool.shares(x).unsqueeze(-1) * x.shape[1]
    if head.norm is not None:
        x = norm_of_the_mean(head.norm, x)
    return on_grid(head.linear(x), grid)


def norm_of_the_mean(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Each cell [N, P, D] normalised by the deviation of the mean over cells, so that the mean is the mean's norm.

    Normalising each cell by its own deviation would weight cells differently from the network.
    """
    centred = x - x.mean(dim=2, keepdim=True)
    variance = centred.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True)
    scaled = centred / (variance + norm.eps).sqrt()
    if norm.weight is not None:
        scaled = scaled * norm.weight
    return scaled if norm.bias is None else scaled + norm.bias


def exact_grid(network: Any, head: MeanHead, size: int) -> Grid | None:
    """The grid of cells that the network pools; None where its features are no such grid."""
    with torch.inference_mode():
        features = network.forward_features(torch.zeros(1, 3, size, size))
    if head.prefix is None:
        return (features.shape[2], features.shape[3]) if features.ndim == 4 else None
    rows, columns = network.patch_embed.grid_size
    return (rows, columns) if features.shape[1] == head.prefix + rows * columns else None


def occlusion_grid(network: nn.Module, size: int) -> Grid:
    """The cells to hide one by one: patches, or squares of them where there are many."""
    if isinstance(network, VisionTransformer):
        rows, columns = network.patch_embed.grid_size
        together = ceil(max(rows, columns) / MOST_CELLS)
        return ceil(rows / together), ceil(columns / together)
    side = min(CELLS_WITHOUT_PATCHES, size)
    return side, side


class Occlusion(nn.Module):
    """How far each logit falls when one cell of the canvas is painted in the mean colour."""

    rows: Tensor
    columns: Tensor

    def __init__(self, grid: Grid, size: int) -> None:
        super().__init__()
        self.grid = grid
        self.size = size
        for name, cells in zip(("rows", "columns"), grid, strict=True):
            cell_of_pixel = torch.arange(size) * cells // size
            self.register_buffer(name, (cell_of_pixel == torch.arange(cells)[:, None]).float(), persistent=False)

    def forward(self, network: nn.Module, pixels: Tensor, logits: Tensor) -> Tensor:
        """Normalised pixels [N, 3, size, size] and their logits [N, K] → evidence [N, K, h, w]."""
        cells = self.grid[0] * self.grid[1]
        hidden = self.rows[:, None, :, None] * self.columns[None, :, None, :]  # [h, w, size, size], 1 where hidden
        visible = 1 - hidden.reshape(1, cells, 1, self.size, self.size)
        # The mean colour is zero once pixels are normalised.
        painted = (pixels[:, None] * visible).reshape(-1, 3, self.size, self.size)  # [N·h·w, 3, size, size]
        without, _ = logits_and_embedding(network, painted)
        falls = logits[:, None] - without.reshape(-1, cells, logits.shape[1])  # [N, h·w, K]
        return on_grid(falls, self.grid)


def on_grid(values: Tensor, grid: Grid) -> Tensor:
    """A row of classes for each cell, [N, h·w, K], as one map for each class, [N, K, h, w]."""
    return values.transpose(1, 2).reshape(-1, values.shape[2], *grid)
