"""Overlapping patches: one matrix for windows of twice the patch; on the patch alone it is timm's embedding."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vitrail.models import ViT
from vitrail.vectors import patchify


def stem_of(patch: int, size: int, stem: str = "overlapping") -> Any:
    torch.manual_seed(0)
    network: Any = ViT(patch=patch, width=16, depth=1, heads=2, stem=stem).build(5, size)
    return network.patch_embed.double()


def pixels(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize(("patch", "size", "window"), [(2, 8, 4), (3, 12, 5), (4, 16, 8), (8, 16, 16)])
def test_a_vector_is_a_matrix_times_the_window_around_its_patch(patch: int, size: int, window: int) -> None:
    stem, margin = stem_of(patch, size), patch // 2
    windows = patchify(F.pad(pixels(size), (margin,) * 4), window, stride=patch)
    assert windows.grids.tolist() == [list(stem.grid_size)] * 2 == [[size // patch, size // patch]] * 2
    expected = F.linear(windows.vectors, stem.proj.weight.flatten(1), stem.proj.bias)
    torch.testing.assert_close(stem(pixels(size)), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("patch", "size"), [(2, 8), (3, 12), (4, 16)])
def test_without_its_margin_it_is_timms_embedding(patch: int, size: int) -> None:
    stem, plain, margin = stem_of(patch, size), stem_of(patch, size, "patches"), patch // 2
    with torch.no_grad():
        stem.proj.weight.copy_(F.pad(plain.proj.weight, (margin,) * 4))
        stem.proj.bias.copy_(plain.proj.bias)
    torch.testing.assert_close(stem(pixels(size)), plain(pixels(size)), atol=1e-12, rtol=0)


def test_a_pixel_reaches_the_vectors_within_half_a_patch() -> None:
    stem, x = stem_of(4, 16), pixels(16)
    other = x.clone()
    other[:, :, 6, 9] += 1.0  # in rows 4 to 7 of its patch the third, in columns 8 to 11 the second
    changed = (stem(other) - stem(x)).abs().amax(dim=(0, 2)).reshape(4, 4) > 1e-6
    assert changed.nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_with_patches_of_one_pixel_each_pixel_is_a_vector() -> None:
    stem, x = stem_of(1, 8, "patches"), pixels(8)
    assert stem.grid_size == (8, 8)
    expected = F.linear(x.flatten(2).transpose(1, 2), stem.proj.weight.flatten(1), stem.proj.bias)
    torch.testing.assert_close(stem(x), expected, atol=1e-12, rtol=0)
