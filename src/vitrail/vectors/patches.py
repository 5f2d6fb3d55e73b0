"""Patchify: an image becomes a set of vectors, one a patch, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.sets import VectorSet


def patchify(images: Tensor, patch: int, stride: int | None = None) -> VectorSet:
    """Cut images [B, C, H, W] into patches, row by row; each becomes a vector of C · patch · patch numbers.

    Patches lie side by side unless `stride` says otherwise. With patch 1 every pixel is a vector.

    Examples:
        >>> patches = vitrail.patchify(torch.zeros(1, 3, 32, 32), patch=4)
        >>> patches.vectors.shape, patches.grids
        (torch.Size([1, 64, 48]), tensor([[8, 8]]))
    """
    step = stride or patch
    grid = grid_of(images.shape[-2], images.shape[-1], patch, step)
    vectors = F.unfold(images, patch, stride=step).transpose(1, 2)  # [B, N, C · patch · patch]
    positions = cells_of(grid, images.device).expand(len(images), -1, -1)
    mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=images.device)
    return VectorSet(vectors, mask, positions)


def unpatchify(patches: VectorSet, patch: int, stride: int | None = None) -> Tensor:
    """Put the patches of images of one shape back: [B, C, H, W]. Where patches overlap, their mean is taken."""
    step = stride or patch
    rows, columns = one_grid(patches)
    size = ((rows - 1) * step + patch, (columns - 1) * step + patch)
    unfolded = patches.vectors.transpose(1, 2)  # [B, C · patch · patch, N]
    summed = F.fold(unfolded, size, patch, stride=step)
    if step >= patch:
        return summed
    times = F.fold(torch.ones_like(unfolded[:1]), size, patch, stride=step)
    return summed / times


def one_grid(patches: VectorSet) -> Grid:
    """The grid of all sets."""
    grids = patches.grids.unique(dim=0)
    if len(grids) != 1 or not patches.mask.all():
        raise UsageError("images of several shapes are no tensor: put the patches of each back by itself")
    rows, columns = grids[0].tolist()
    return rows, columns


def grid_of(height: int, width: int, patch: int, stride: int) -> Grid:
    """Rows and columns of patches; refuses an image that the patches do not cover exactly."""
    if patch < 1 or stride < 1:
        raise UsageError(f"patch size and stride must be at least 1; they are {patch} and {stride}")
    for side in (height, width):
        if side < patch or (side - patch) % stride:
            raise UsageError(
                f"patches of {patch} with stride {stride} do not cover a {height}×{width} image exactly: "
                "pixels at its edge would be lost"
            )
    return (height - patch) // stride + 1, (width - patch) // stride + 1
