"""Patchify and back, and that a linear layer on patches is timm's patch embedding."""

import pytest
import torch
from timm.layers import PatchEmbed

from vitrail.errors import UsageError
from vitrail.vectors import patchify, unpatchify


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))


def test_patches_are_vectors_row_by_row(images: torch.Tensor) -> None:
    patches = patchify(images, 4)
    assert (len(patches), patches.width, patches.grids.tolist()) == (2, 48, [[3, 2], [3, 2]])
    assert patches.positions[1].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert patches.mask.shape == (2, 6)
    assert patches.mask.all()
    assert torch.equal(patches.vectors[1, 3], images[1, :, 4:8, 4:8].flatten())


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_unpatchify_is_the_exact_inverse(images: torch.Tensor, patch: int) -> None:
    assert torch.equal(unpatchify(patchify(images, patch), patch), images)


@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (4, 4), (3, 1)])
def test_overlapping_patches_are_averaged_by_unpatchify(images: torch.Tensor, patch: int, stride: int) -> None:
    back = unpatchify(patchify(images, patch, stride), patch, stride)
    torch.testing.assert_close(back, images, atol=1e-6, rtol=0)


def test_patch_of_one_makes_each_pixel_a_vector(images: torch.Tensor) -> None:
    pixels = patchify(images, 1)
    assert torch.equal(pixels.vectors, images.flatten(2).transpose(1, 2))


def test_linear_on_patches_is_timms_patch_embedding(images: torch.Tensor) -> None:
    embed = PatchEmbed(img_size=(12, 8), patch_size=4, embed_dim=16)
    weight, bias = embed.proj.weight.flatten(1), embed.proj.bias
    ours = torch.nn.functional.linear(patchify(images, 4).vectors, weight, bias)
    torch.testing.assert_close(ours, embed(images), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("patch", "stride"), [(5, None), (4, 3), (16, None), (0, None)])
def test_patches_that_lose_pixels_are_refused(images: torch.Tensor, patch: int, stride: int | None) -> None:
    with pytest.raises(UsageError):
        patchify(images, patch, stride)
