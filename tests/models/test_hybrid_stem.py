"""The hybrid stem: its vectors are the cells of a CNN's feature map, of the small CNN or of timm's."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from vitrail.errors import UsageError
from vitrail.models import ViT
from vitrail.models.small_cnn import SmallCNN


def stem_of(patch: int, size: int, width: int = 32, **settings: str) -> Any:
    torch.manual_seed(0)
    stem: Any = {"name": "hybrid", **settings}
    network: Any = ViT(patch=patch, width=width, depth=1, heads=2, stem=stem).build(5, size)
    return network.patch_embed.eval()


def pixels(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def projected(stem: Any, features: torch.Tensor) -> torch.Tensor:
    """One matrix for all cells."""
    return F.linear(features.flatten(2).transpose(1, 2), stem.proj.weight.flatten(1), stem.proj.bias)


@pytest.mark.parametrize(("patch", "stages", "first"), [(1, 1, 32), (2, 2, 16), (4, 3, 8), (8, 4, 8)])
def test_vectors_are_the_cells_of_the_small_cnns_features(patch: int, stages: int, first: int) -> None:
    stem = stem_of(patch, 16)
    cnn = SmallCNN(5, first, stages, 2).eval()
    weights = list(stem.backbone.state_dict().values())
    names = [name for name in cnn.state_dict() if not name.startswith("head.")]
    cnn.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    features = cnn.forward_features(pixels(16))
    assert stem.grid_size == features.shape[2:] == (16 // patch, 16 // patch)
    torch.testing.assert_close(stem(pixels(16)), projected(stem, features), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("backbone", "patch", "last"), [("resnet10t", 4, 1), ("mobilenetv2_100", 16, 3)])
def test_vectors_are_the_cells_of_a_feature_map_of_timms(backbone: str, patch: int, last: int) -> None:
    stem = stem_of(patch, 32, backbone=backbone)
    theirs = timm.create_model(backbone, features_only=True, out_indices=(last,)).eval()
    theirs.load_state_dict(stem.backbone.state_dict())
    (features,) = theirs(pixels(32))
    assert stem.grid_size == features.shape[2:] == (32 // patch, 32 // patch)
    torch.testing.assert_close(stem(pixels(32)), projected(stem, features), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("backbone", "patch", "size", "reason"),
    [
        (
            "mobilenetv2_100",
            6,
            48,
            "no feature map of 'mobilenetv2_100' has cells of 6 pixels: choose a patch of 2, 4, 8",
        ),
        (
            "inception_v4",
            8,
            64,
            "'inception_v4' makes 5×5 cells of an image of 64, and not one for each of 8×8 patches",
        ),
        ("cait_xxs24_224", 16, 64, "all layers of 'cait_xxs24_224' have the same cells"),
    ],
)
def test_a_backbone_that_makes_other_cells_is_refused(backbone: str, patch: int, size: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        stem_of(patch, size, backbone=backbone)
