"""Classifiers of transformers: their logits, weights, pixel statistics, and what does not fit."""

from pathlib import Path

import pytest
import torch
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from vitrail.cli import main
from vitrail.errors import ModelError, UsageError
from vitrail.models import Transformers
from vitrail.models.architecture import Architecture
from vitrail.models.network import logits_and_embedding
from vitrail.models.timm_models import pixel_statistics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny pretrained ViT of 3 classes as `save_pretrained` writes it."""
    path = str(tmp_path_factory.mktemp("vit"))
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=16, patch_size=8
    )
    config.num_labels = 3
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(path)
    ViTImageProcessor(image_mean=[0.4, 0.5, 0.6], image_std=[0.1, 0.2, 0.3]).save_pretrained(path)
    return path


def test_the_outputs_are_those_of_the_library(folder: str) -> None:
    network = Transformers(name=folder, pretrained=True).build(3, 16).eval()
    theirs = ViTForImageClassification.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        logits, embedding = logits_and_embedding(network, pixels)
        assert torch.equal(logits, theirs(pixel_values=pixels).logits)
        assert torch.equal(embedding, theirs.vit(pixel_values=pixels).last_hidden_state[:, 0])


def test_other_classes_get_a_new_head_on_the_pretrained_body(folder: str) -> None:
    network = Transformers(name=folder, pretrained=True).build(7, 16)
    theirs = ViTForImageClassification.from_pretrained(folder).state_dict()
    own = {name.removeprefix("network.model."): one for name, one in network.state_dict().items()}
    same = {name for name, one in theirs.items() if one.shape == own[name].shape and torch.equal(one, own[name])}
    assert theirs.keys() - same == {"classifier.weight", "classifier.bias"}
    assert pixel_statistics(network) == ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))


def test_a_checkpoint_needs_neither_folder_nor_hub(folder: str) -> None:
    made = Transformers(name=folder, pretrained=True)
    plain = made.to_plain()
    plain["init_args"] |= {"name": "a/name-that-is-nowhere"}
    again = Architecture.from_plain(plain).untrained()
    assert again.build(7, 16).state_dict().keys() == made.build(7, 16).state_dict().keys()


def test_a_cnn_takes_any_size(tmp_path: Path) -> None:
    ConvNextForImageClassification(ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])).save_pretrained(
        tmp_path
    )
    network = Transformers(name=str(tmp_path)).build(5, 64).eval()
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 5)


def test_weights_for_another_size_are_refused(folder: str) -> None:
    with pytest.raises(UsageError, match="its weights are for images of 16 pixels, and the canvas has 32"):
        Transformers(name=folder, pretrained=True).build(3, 32)


def test_weights_of_another_body_are_refused(folder: str) -> None:
    made = Transformers(name=folder, pretrained=True)
    assert made.config is not None
    wider = Transformers(name=folder, pretrained=True, config={**made.config, "intermediate_size": 128})
    with pytest.raises(ModelError, match="not in the file, or of another shape: vit"):
        wider.build(3, 16)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"'{tmp_path}' could not be read"):
        Transformers(name=str(tmp_path))


@pytest.mark.long
def test_it_is_trained_tested_and_exported(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = ("--model.net=vitrail.models.Transformers", f"--model.net.name={folder}", "--model.net.pretrained=true")
    assert main(["fit", *net, "--data.path=digits", "--data.size=16", "--trainer.max_steps=4", "--run=run"]) == 0
    assert main(["test", "--ckpt_path=run/checkpoints/last.ckpt"]) == 0
    assert main(["export", "--checkpoint=run/checkpoints/last.ckpt", "--output=model.onnx"]) == 0
    assert main(["verify", "model.onnx"]) == 0
