"""Warm starts: equal outputs at the same size, resampled position tables at another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import resample_abs_pos_embed

from vitrail.data.record import Record
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.checkpoint import KEY, Origin, RunData
from vitrail.vectors.positions.relative import resampled

SIZES: dict[str, Any] = {"patch": 2, "width": 16, "depth": 2, "heads": 2}


def saved(folder: Path, architecture: Architecture, size: int, classes: int = 3) -> tuple[Path, Any]:
    """A checkpoint with random weights, as `vitrail fit` writes it."""
    torch.manual_seed(1)
    network = architecture.build(classes, size)
    names = tuple("abcdefgh"[:classes])
    run_data = RunData(Selection("digits"), "digits", "f", Record({part: np.empty((0, 2), np.int64) for part in PARTS}))
    origin = Origin(architecture, InputRule(size), names, run_data, 0)
    weights = {f"net.{name}": value for name, value in network.state_dict().items()}
    path = folder / "best.ckpt"
    torch.save({KEY: origin.to_plain(), "state_dict": weights}, path)
    return path, network.eval()


@pytest.mark.parametrize(
    "made",
    [
        ViT(**SIZES),
        ViT(**SIZES, positions="relative", pool="token"),
        ViT(**SIZES, stem="conv", positions="conditional", start="xavier"),
        ViT(**SIZES, stem="overlapping"),
        ViT(**SIZES, stem="hybrid"),
        CNN(width=8, stages=2),
        CNN(width=8, stages=2, downsampling="pool"),
    ],
)
def test_at_the_same_size_it_is_the_same_network(tmp_path: Path, made: Architecture) -> None:
    path, source = saved(tmp_path, made, 8)
    network: Any = type(made)(**{**vars(made), "pretrained": str(path)}).build(3, 8).eval()
    pixels = torch.randn(2, 3, 8, 8)
    assert torch.equal(network(pixels), source(pixels))
    assert torch.equal(network.forward_features(pixels), source.forward_features(pixels))  # some heads start at zero


def test_learned_positions_are_resampled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, source = saved(tmp_path, ViT(**SIZES, pool="token"), 8)
    network: Any = ViT(**SIZES, pool="token", pretrained=str(path)).build(3, 16)
    assert torch.equal(network.pos_embed, resample_abs_pos_embed(source.pos_embed, [8, 8], [4, 4], num_prefix_tokens=1))
    assert torch.equal(network.blocks[1].mlp.fc1.weight, source.blocks[1].mlp.fc1.weight)
    assert not caplog.records  # all of it fitted


def test_tables_of_offsets_are_resampled(tmp_path: Path) -> None:
    path, source = saved(tmp_path, ViT(**SIZES, positions="relative"), 8)
    network: Any = ViT(**SIZES, positions="relative", pretrained=str(path)).build(3, 12)
    for here, there in zip(network.blocks, source.blocks, strict=True):
        table = here.attn.positions.table
        assert table.shape == (11 * 11, 2)
        assert torch.equal(table, resampled(there.attn.positions.table, (4, 4), (6, 6)))


@pytest.mark.parametrize("positions", ["sincos2d", "shaw", "quadratic", "floater", "rope"])
def test_positions_continue_on_a_grid_never_trained_on(positions: str, tmp_path: Path) -> None:
    """Of 6 × 6 cells, the first 4 × 4 have the positions that they had; beyond, each kind has its own rule."""
    path, source = saved(tmp_path, ViT(**SIZES, positions=positions), 8)
    network: Any = ViT(**SIZES, positions=positions, pretrained=str(path)).build(3, 12).eval()
    known = torch.arange(36).view(6, 6)[:4, :4].flatten()
    with torch.no_grad():
        small, large = places(source, positions), places(network, positions)
    assert large.shape[0] == 36
    shared = large[known][:, known] if positions in ("shaw", "quadratic") else large[known]
    torch.testing.assert_close(shared, small, atol=1e-6, rtol=0)
    beyond = large[[index for index in range(36) if index not in known]]
    assert beyond.isfinite().all()
    assert beyond.std(dim=0).max() > 1e-3


def places(network: Any, positions: str) -> torch.Tensor:
    """What positions are for each cell [N, …], or for each pair of cells [N, N, …]."""
    if positions == "sincos2d":
        return network.pos_embed[0]  # type: ignore[no-any-return]
    module = network.blocks[1].attn.positions
    if positions == "floater":
        return module.table().permute(2, 0, 1, 3)  # type: ignore[no-any-return]
    if positions == "rope":
        return module.angles  # type: ignore[no-any-return]
    if positions == "shaw":
        offsets = network.blocks[1].attn.offsets_of()
        return module.of_pairs(module.keys, offsets, len(offsets))  # type: ignore[no-any-return]
    return network.blocks[1].attn.full_bias().permute(1, 2, 0)  # type: ignore[no-any-return]


def test_weights_that_do_not_fit_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, source = saved(tmp_path, ViT(**SIZES), 8)
    network: Any = ViT(**SIZES, pretrained=str(path)).build(5, 8)
    assert network.head.weight.shape == (5, 16)
    assert "head.bias, head.weight" in caplog.text
    assert torch.equal(network.pos_embed, source.pos_embed)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no weights")
    with pytest.raises(ModelError, match="no checkpoint at"):
        ViT(**SIZES, pretrained=str(tmp_path / "none.ckpt")).build(3, 8)
    with pytest.raises(ModelError, match="not a checkpoint"):
        ViT(**SIZES, pretrained=str(tmp_path / "text.ckpt")).build(3, 8)
    with pytest.raises(UsageError, match="need `name`"):
        ViT(**SIZES, pretrained=True).build(3, 8)


@pytest.mark.parametrize(
    "made",
    [ViT("vit_tiny_patch16_224"), ViT("vit_tiny_patch16_224", positions="conditional")],
    ids=["timm", "components"],
)
def test_a_network_of_timm_starts_from_a_run_without_classes_with_a_new_head(made: ViT, tmp_path: Path) -> None:
    path, source = saved(tmp_path, made, 32, classes=0)
    torch.manual_seed(2)
    new = made.build(3, 32).state_dict()
    torch.manual_seed(2)
    here = replace(made, pretrained=str(path))
    started, there = here.build(3, 32).state_dict(), source.state_dict()
    assert here.run_it_starts_from == str(path)
    assert started.keys() - there.keys() == {"head.weight", "head.bias"}
    for name, value in started.items():
        assert torch.equal(value, there[name] if name in there else new[name])


def test_other_files_with_a_name_are_those_of_timm() -> None:
    made = CNN("resnet18", pretrained="resnet18.safetensors")
    assert (made.run_it_starts_from, made.timm_weights) == (None, "resnet18.safetensors")
    made = CNN("resnet18", pretrained="best.ckpt")
    assert (made.run_it_starts_from, made.timm_weights) == ("best.ckpt", False)
    with pytest.raises(ModelError, match=r"there is no checkpoint at best\.ckpt"):
        made.build(3, 32)
