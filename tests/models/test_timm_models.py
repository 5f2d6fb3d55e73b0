"""Weights of networks of timm: from a file, or from a repository of the Hugging Face Hub."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from vitrail.errors import ModelError
from vitrail.models import ViT, timm_models

NAME = "test_vit"


def test_weights_of_a_repository_are_those_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        requested.append((repository, file))
        return str(tmp_path / file)

    torch.manual_seed(1)
    theirs: Any = timm.create_model(NAME)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(timm_models, "hf_hub_download", download)
    network: Any = ViT(name=NAME, pretrained="hf-hub:somebody/trees").build(3, 160)
    assert torch.equal(network.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)
    assert requested == [("somebody/trees", "model.safetensors")]


@pytest.mark.parametrize("fault", [OSError("no network\nand more"), ValueError("no network")])
def test_a_repository_out_of_reach_is_one_error(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: str) -> str:
        raise fault

    monkeypatch.setattr(timm_models, "hf_hub_download", unreachable)
    with pytest.raises(ModelError, match=r"'somebody/trees' could not be fetched \(no network\): give a file"):
        ViT(name=NAME, pretrained="hf-hub:somebody/trees").build(3, 160)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ModelError, match=r"there is no weights file at trees\.safetensors"):
        ViT(name=NAME, pretrained="trees.safetensors").build(3, 160)
