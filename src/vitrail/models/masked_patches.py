"""Masked patches: a ViT sees part of an image and predicts the pixels of the rest (SimMIM, 2111.09886)."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors import patchify, unpatchify
from vitrail.vectors.patches import grid_of

EPSILON = 1e-6  # added to the variance of a patch, as in MAE


class MaskedPatches(nn.Module):
    """What pretraining needs beside the network: the patch that covers masked ones, and a linear layer to pixels.

    Patches are masked in the image itself, before any layer: so the network stays timm's, and no stem, however its
    convolutions overlap, sees a masked pixel.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.cover = nn.Parameter(torch.zeros(3 * patch * patch))
        self.norm = nn.LayerNorm(width)  # a network with mean pooling normalises after the pool
        self.pixels = nn.Linear(width, 3 * patch * patch)

    def no_weight_decay(self) -> set[str]:
        return {"cover"}

    def get_classifier(self) -> nn.Module:
        return self.pixels

    def covered(self, pixels: Tensor, masked: Tensor) -> Tensor:
        """Images [B, 3, H, W] whose patches are covered where `masked` [B, N] is true."""
        patches = patchify(pixels, self.patch)
        vectors = torch.where(masked.unsqueeze(-1), self.cover, patches.vectors)
        return unpatchify(patches.with_vectors(vectors), self.patch)

    def forward(self, network: Any, pixels: Tensor, masked: Tensor) -> Tensor:
        """The prediction for every patch, [B, N, 3 · patch · patch], from those that are not masked."""
        vectors = network.forward_features(self.covered(pixels, masked))
        predictions: Tensor = self.pixels(self.norm(vectors[:, network.num_prefix_tokens :]))
        return predictions

    def loss(self, network: Any, pixels: Tensor, masked: Tensor) -> Tensor:
        return reconstruction_error(self(network, pixels, masked), normalised_patches(pixels, self.patch), masked)


def normalised_patches(pixels: Tensor, patch: int) -> Tensor:
    """The patches of images, [B, N, 3 · patch · patch], each with a mean of 0 and a variance of 1."""
    vectors = patchify(pixels, patch).vectors
    variance, mean = torch.var_mean(vectors, dim=-1, keepdim=True)
    return (vectors - mean) / (variance + EPSILON).sqrt()


def reconstruction_error(predictions: Tensor, targets: Tensor, masked: Tensor) -> Tensor:
    """The squared error of patches [B, N, D], a mean over those that are masked [B, N]."""
    errors = (predictions.float() - targets).square().mean(dim=-1)
    return (errors * masked).sum() / masked.sum()


def patch_of(network: nn.Module, image_size: int) -> int:
    """The side of the patches, one for each vector, of a Vision Transformer."""
    if not isinstance(network, VisionTransformer):
        raise without_patches(type(network).__name__)
    patch = int(network.patch_embed.feat_ratio())
    grid_of(image_size, image_size, patch, patch)  # refuses patches that do not cover the image
    return patch


def without_patches(name: str) -> UsageError:
    return UsageError(
        f"{name} has no patches that could be masked: choose a Vision Transformer, --model.net vitrail.models.ViT"
    )


def count_masked(mask_ratio: float, patches: int) -> int:
    """How many patches of an image are masked."""
    count = round(mask_ratio * patches)
    if not 0 < count < patches:
        raise UsageError(
            f"a mask_ratio of {mask_ratio} masks {count} of {patches} patches: some must be masked and some seen, so "
            "choose one between 0 and 1, such as 0.75"
        )
    return count
