"""Tests of the choice of networks: by the weights at hand, and always a ViT and a CNN."""

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import ones

from vitrail.errors import ModelError, UsageError
from vitrail.training.build import candidates as module
from vitrail.training.build.candidates import Family, candidates, from_scratch, pretrained_size

from .conftest import CNN, VIT


def test_a_folder_of_weights_names_its_networks(weights: Path) -> None:
    found, why = candidates(weights, True, "cpu", 40)
    assert [(one.name, one.family, one.size) for one in found] == [(CNN, "CNN", 128), (VIT, "ViT", 128)]
    assert "2 network(s)" in why


def test_a_family_without_weights_learns_from_scratch(weights: Path, tmp_path: Path) -> None:
    (tmp_path / f"{VIT}.safetensors").symlink_to(weights / f"{VIT}.safetensors")
    (tmp_path / "notes.safetensors").write_bytes(b"")
    found, _ = candidates(tmp_path, True, "cpu", 40)
    assert [(one.family, one.is_pretrained) for one in found] == [("ViT", True), ("CNN", False)]


def test_offline_and_without_weights_both_learn_from_scratch() -> None:
    found, why = candidates(None, True, "cpu", 40)
    assert [(one.family, one.weights) for one in found] == [("ViT", ""), ("CNN", "")]
    assert "nothing may be downloaded" in why


def test_without_a_network_it_says_what_it_uses_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, classes: int, pretrained: bool | str, drop_path: float) -> None:
        assert pretrained is True
        raise ModelError(f"the weights of '{name}' could not be loaded")

    monkeypatch.setattr(module, "named", unreachable)
    found, why = candidates(None, False, "cpu", 40)
    assert [one.is_pretrained for one in found] == [False, False]
    assert "could not be loaded" in why


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights of a network"):
        candidates(tmp_path, True, "cpu", 40)
    (tmp_path / f"{VIT}.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="could not be loaded"):
        candidates(tmp_path, True, "cpu", 40)
    save_file({"head.weight": ones(2, 2)}, tmp_path / f"{VIT}.safetensors")
    with pytest.raises(ModelError, match="weights of another network"):
        candidates(tmp_path, True, "cpu", 40)


@pytest.mark.parametrize(("side", "size", "patch"), [(8, 16, 2), (28, 32, 4), (40, 32, 4), (100, 64, 8), (4000, 64, 8)])
def test_canvases_from_scratch_suit_the_images(side: int, size: int, patch: int) -> None:
    vit, cnn = from_scratch(side)
    assert (vit.size, cnn.size) == (size, size)
    assert vit.recipe["model"]["net"]["init_args"]["patch"] == patch


@pytest.mark.parametrize(
    ("family", "is_fixed", "side", "size"),
    [
        ("ViT", True, 28, 128),
        ("ViT", True, 84, 160),
        ("ViT", True, 100, 160),
        ("ViT", True, 120, 192),
        ("ViT", True, 480, 224),
        ("CNN", False, 84, 160),
        ("CNN", True, 84, 224),
    ],
)
def test_canvases_of_pretrained_networks_are_no_larger_than_the_images_need(
    family: Family, is_fixed: bool, side: int, size: int
) -> None:
    assert pretrained_size({"input_size": (3, 224, 224), "fixed_input_size": is_fixed}, family, side) == size
