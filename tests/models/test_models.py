"""ViT and CNN: timm's own networks, their sizes, weights from a file, and refusals."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.input import Input
from vitrail.models.network import logits_and_embedding
from vitrail.models.timm_models import pixel_statistics

SMALL = [
    (ViT(patch=2, width=32, depth=2, heads=4), 8),
    (ViT(patch=2, width=32, depth=2, heads=4, pool="token"), 8),
    (ViT(patch=2, width=32, depth=2, heads=4, pool="map"), 8),
    (ViT(patch=2, width=32, depth=2, heads=4, stem="conv", positions="conditional", start="xavier"), 8),
    (ViT(patch=1, width=32, depth=2, heads=4), 8),
    (ViT(patch=4, width=32, depth=2, heads=4, stem="overlapping"), 8),
    (ViT(patch=4, width=32, depth=2, heads=4, stem="hybrid", positions="relative"), 8),
    (ViT(patch=8, width=32, depth=2, heads=4, stem={"name": "hybrid", "backbone": "resnet10t"}), 32),
    (CNN(width=8, stages=2, blocks=1), 8),
    (CNN(width=8, stages=2, blocks=1, downsampling="pool"), 8),
    (CNN(width=8, stages=2, blocks=1, layers="attention"), 8),
    (ViT(name="vit_tiny_patch16_224"), 32),
    (CNN(name="resnet10t"), 32),
    (CNN(name="convnext_atto"), 32),
]


def pixels(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_the_vit_is_timms_vision_transformer() -> None:
    ours = ViT(patch=4, width=48, depth=3, heads=6, pool="token").build(5, 16).eval()
    theirs = VisionTransformer(
        img_size=16, patch_size=4, num_classes=5, embed_dim=48, depth=3, num_heads=6, global_pool="token"
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    assert type(ours) is VisionTransformer
    assert torch.equal(ours(pixels(16)), theirs(pixels(16)))


def test_a_named_vit_is_timms() -> None:
    ours = ViT(name="vit_tiny_patch16_224").build(5, 32).eval()
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=32).eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(pixels(32)), theirs(pixels(32)))


@pytest.mark.parametrize(("architecture", "size"), SMALL)
def test_logits_are_the_head_of_the_embedding(architecture: Architecture, size: int) -> None:
    network = architecture.build(5, size).eval()
    with torch.no_grad():
        logits, embedding = logits_and_embedding(network, pixels(size))
        assert torch.equal(logits, network(pixels(size)))
    assert logits.shape == (2, 5)
    assert embedding.ndim == 2


@pytest.mark.parametrize(("architecture", "size"), SMALL)
def test_an_architecture_round_trips_through_plain_data(architecture: Architecture, size: int) -> None:
    assert Architecture.from_plain(architecture.to_plain()) == architecture


def test_a_small_cnn_halves_the_image_at_each_stage() -> None:
    network: Any = CNN(width=8, stages=3, blocks=1).build(5, 16).eval()
    assert network.forward_features(pixels(16)).shape == (2, 32, 4, 4)


def test_a_cnn_of_max_pools_halves_the_image_in_each_stage_and_reads_the_largest() -> None:
    network: Any = CNN(width=8, stages=3, blocks=1, downsampling="pool").build(5, 28).eval()
    features = network.forward_features(pixels(28))
    assert features.shape == (2, 32, 4, 4)
    assert torch.equal(network(pixels(28)), torch.zeros(2, 5))
    nn.init.normal_(network.head.weight)
    largest = features.flatten(2).max(dim=2).values
    assert torch.equal(network(pixels(28)), largest @ network.head.weight.T + network.head.bias)


def test_weights_come_from_a_local_file_and_the_head_is_new(tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network = ViT(name="vit_tiny_patch16_224", pretrained=str(tmp_path / "weights.pth")).build(3, 224)
    loaded = network.state_dict()
    assert torch.equal(loaded["blocks.11.mlp.fc2.weight"], source.state_dict()["blocks.11.mlp.fc2.weight"])
    assert loaded["head.weight"].shape == (3, 192)


def test_positions_of_a_weights_file_are_resampled_to_the_image(tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network = ViT(name="vit_tiny_patch16_224", pretrained=str(tmp_path / "weights.pth")).build(3, 64)
    assert network.state_dict()["pos_embed"].shape == (1, 17, 192)


def test_pixel_statistics_are_those_of_the_weights() -> None:
    assert pixel_statistics(CNN(name="resnet10t").build(3, 32))[0] == (0.485, 0.456, 0.406)
    assert pixel_statistics(CNN().build(3, 32)) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("architecture", "size", "reason"),
    [
        (ViT(patch=3), 32, "do not divide an image"),
        (ViT(name="vit_tny_patch16_224"), 32, "did you mean"),
        (ViT(name="resnet10t"), 32, "cannot be built this way"),
        (CNN(name="vit_tiny_patch16_224"), 32, "use vitrail.models.ViT"),
        (CNN(stages=5), 8, "fewer stages"),
        (CNN(stages=4, downsampling="pool"), 8, "fewer stages"),
        (ViT(pretrained=True), 32, "need `name`"),
    ],
)
def test_invalid_networks_are_refused_with_the_reason(architecture: Architecture, size: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        architecture.build(5, size)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"heads": 5}, "do not divide a width"),
        ({"heads": 0}, "heads must be at least 1, not 0"),
        ({"patch": 0}, "patch must be at least 1, not 0"),
        ({"depth": -1}, "depth must be at least 1, not -1"),
    ],
)
def test_invalid_sizes_are_refused_at_once(sizes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ViT(**sizes)


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pth"):
        CNN(name="resnet10t", pretrained="nowhere.pth").build(5, 32)


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("not weights")
    with pytest.raises(ModelError, match="could not be loaded"):
        CNN(name="resnet10t", pretrained=str(tmp_path / "weights.pth")).build(5, 32)


@pytest.mark.parametrize(("width", "is_channels_first"), [(4, True), (8, False)])
def test_a_narrow_cnn_gets_contiguous_channels_first(width: int, is_channels_first: bool) -> None:
    """Channels last, torch would write beyond its memory in the backward pass of one thread."""
    network: Any = CNN(width=width, stages=2, blocks=1).build(10, 8)
    seen: list[bool] = []
    network.stem[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].is_contiguous()))
    network(Input(InputRule(8))(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)))
    assert seen == [is_channels_first]
