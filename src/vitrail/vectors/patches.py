"""Patchify: an image becomes a set of vectors, one a patch, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.vectors.sets import VectorSet


def patchify(images: Tensor, patch: int, stride: int | None = None) -> VectorSet:
    """Cut images [B, C, H, W] into patches, row by row; each becomes a vector of C · patch · patch numbers.

    Patches lie side by side unless `stride` says otherwise. With patch 1 every pixel is a vector.

    Examples:
        >>> patches = vitrail.patchify(torch.zeros(1, 3, 32, 32), patch=4)
        >>> patches.vectors.shape, patches.grid
        (torch.Size([1, 64, 48]), (8, 8))
    """
    step = stride or patch
    rows, columns = grid_of(images.shape[-2], images.shape[-1], patch, step)
    vectors = F.unfold(images, patch, stride=step).transpose(1, 2)  # [B, N, C · patch · patch]
    positions = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(images.device)
    mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=images.device)
    return VectorSet(vectors, mask, positions.reshape(-1, 2), (rows, columns))


def unpatchify(patches: VectorSet, patch: int, stride: int | None = None) -> Tensor:
    """Put the patches back: images [B, C, H, W]. Where patches overlap, their mean is taken."""
    step = stride or patch
    rows, columns = patches.grid
    size = ((rows - 1) * step + patch, (columns - 1) * step + patch)
    unfolded = patches.vectors.transpose(1, 2)  # [B, C · patch · patch, N]
    summed = F.fold(unfolded, size, patch, stride=step)
    if step >= patch:
        return summed
    times = F.fold(torch.ones_like(unfolded[:1]), size, patch, stride=step)
    return summed / times


def grid_of(height: int, width: int, patch: int, stride: int) -> tuple[int, int]:
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
