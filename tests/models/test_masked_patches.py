"""Masked patches: what is predicted from what, the loss by hand, and networks and shares that are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.models import CNN, ViT
from vitrail.models.masked_patches import (
    MaskedPatches,
    count_masked,
    normalised_patches,
    patch_of,
    reconstruction_error,
)

SIZES: dict[str, Any] = {"patch": 2, "width": 16, "depth": 2, "heads": 2}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"pool": "token"},
    {"pool": "map"},
    {"stem": "conv", "positions": "conditional", "start": "xavier"},
    {"stem": "overlapping"},
    {"stem": "hybrid", "pool": "token"},
    {"block": "conformer", "norm": "batch", "attention": "linear"},
]


def random_mask(images: int, patches: int, count: int) -> Tensor:
    return torch.rand(images, patches).argsort(dim=1) < count


def made(**variant: Any) -> tuple[Any, MaskedPatches]:
    torch.manual_seed(0)
    network = ViT(**SIZES | variant).build(0, 8).eval()
    masking = MaskedPatches(16, patch_of(network, 8))
    torch.nn.init.normal_(masking.cover)
    return network, masking


def changed(pixels: Tensor, where: Tensor) -> Tensor:
    """Other pixels in the patches of 2 × 2 where the mask [B, 16] is true."""
    cells = where.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.where(cells, torch.randn_like(pixels), pixels)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_no_masked_pixel_reaches_a_prediction_and_every_visible_one_may(variant: dict[str, Any]) -> None:
    network, masking = made(**variant)
    pixels, masked = torch.randn(3, 3, 8, 8), random_mask(3, 16, 12)
    with torch.inference_mode():
        predictions = masking(network, pixels, masked)
        assert predictions.shape == (3, 16, 12)
        assert torch.equal(masking(network, changed(pixels, masked), masked), predictions)
        assert not torch.allclose(masking(network, changed(pixels, ~masked), masked), predictions)


def test_targets_of_visible_patches_do_not_count() -> None:
    torch.manual_seed(0)
    predictions, targets, masked = torch.randn(2, 16, 12), torch.randn(2, 16, 12), random_mask(2, 16, 12)
    loss = reconstruction_error(predictions, targets, masked)
    seen = torch.where(masked.unsqueeze(-1), targets, torch.randn_like(targets))
    assert torch.equal(reconstruction_error(predictions, seen, masked), loss)
    other = torch.where(masked.unsqueeze(-1), torch.randn_like(targets), targets)
    assert not torch.isclose(reconstruction_error(predictions, other, masked), loss)


def test_a_perfect_prediction_has_no_loss() -> None:
    torch.manual_seed(0)
    targets = normalised_patches(torch.randn(2, 3, 8, 8), 2)
    assert reconstruction_error(targets, targets, random_mask(2, 16, 12)) == 0


def test_the_loss_of_a_constant_by_hand() -> None:
    """Two patches of 1 × 1: (1, 2, 3) becomes (-1, 0, 1), and (0, 0, 6) (-2, -2, 4) / √12."""
    pixels = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 6.0]]).view(1, 3, 1, 2)
    targets = normalised_patches(pixels, 1)
    assert torch.allclose(targets[0, 0], torch.tensor([-1.0, 0.0, 1.0]), atol=1e-5)
    assert torch.allclose(targets[0, 1], torch.tensor([-2.0, -2.0, 4.0]) / 12**0.5, atol=1e-5)
    constant = torch.full((1, 2, 3), 0.5)
    # (1.5² + 0.5² + 0.5²) / 3; of any normalised patch of D numbers it is (D - 1) / D + 0.5².
    for masked in ([[True, False]], [[False, True]], [[True, True]]):
        loss = reconstruction_error(constant, targets, torch.tensor(masked))
        assert float(loss) == pytest.approx(2 / 3 + 0.25, abs=1e-5)


def test_a_patch_of_one_colour_has_targets_of_zero() -> None:
    assert normalised_patches(torch.full((1, 1, 4, 4), 0.7).expand(1, 3, 4, 4), 2).abs().max() < 1e-3


def test_targets_do_not_depend_on_brightness_and_contrast() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 8, 8)
    assert torch.allclose(normalised_patches(3 * pixels + 2, 2), normalised_patches(pixels, 2), atol=1e-4)


def test_covered_patches_are_the_learned_one_and_others_are_left() -> None:
    _, masking = made()
    pixels, masked = torch.randn(2, 3, 8, 8), torch.zeros(2, 16, dtype=torch.bool)
    masked[0, 5] = True  # rows 2 and 3, columns 2 and 3
    covered = masking.covered(pixels, masked)
    assert torch.equal(covered[0, :, 2:4, 2:4], masking.cover.view(3, 2, 2))
    pixels[0, :, 2:4, 2:4] = covered[0, :, 2:4, 2:4]
    assert torch.equal(covered, pixels)


@pytest.mark.parametrize(
    ("network", "size", "patch"),
    [
        (ViT(**SIZES), 8, 2),
        (ViT(**SIZES | {"patch": 4, "stem": "conv"}), 16, 4),
        (ViT(**SIZES | {"patch": 4, "stem": "overlapping"}), 16, 4),
        (ViT(**SIZES | {"patch": 4, "stem": "hybrid"}), 16, 4),
        (ViT("vit_tiny_patch16_224"), 32, 16),
        (ViT("deit_tiny_distilled_patch16_224"), 32, 16),
    ],
    ids=["own", "conv", "overlapping", "hybrid", "timm", "distilled"],
)
def test_each_vector_has_a_patch(network: ViT, size: int, patch: int) -> None:
    built: Any = network.build(0, size)
    assert patch_of(built, size) == patch
    masked = random_mask(1, (size // patch) ** 2, 2)
    masking = MaskedPatches(built.embed_dim, patch)
    assert masking(built, torch.randn(1, 3, size, size), masked).shape == (1, (size // patch) ** 2, 3 * patch**2)


def test_a_cnn_is_refused() -> None:
    with pytest.raises(UsageError, match="SmallCNN has no patches that could be masked: choose a Vision Transformer"):
        patch_of(CNN(width=8, stages=2).build(0, 8), 8)


def test_patches_that_do_not_cover_the_image_are_refused() -> None:
    with pytest.raises(UsageError, match="patches of 16 with stride 16 do not cover a 40×40 image exactly"):
        patch_of(ViT("vit_tiny_patch16_224").build(0, 40), 40)


@pytest.mark.parametrize(("mask_ratio", "patches", "count"), [(0.75, 49, 37), (0.6, 196, 118), (0.01, 64, 1)])
def test_the_number_of_masked_patches_is_rounded(mask_ratio: float, patches: int, count: int) -> None:
    assert count_masked(mask_ratio, patches) == count


@pytest.mark.parametrize("mask_ratio", [0, 1, -0.5, 0.001, 0.999, 75])
def test_a_share_that_masks_nothing_or_everything_is_refused(mask_ratio: float) -> None:
    with pytest.raises(UsageError, match=r"of 49 patches: some must be masked and some seen"):
        count_masked(mask_ratio, 49)
