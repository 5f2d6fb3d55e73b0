"""The model card names the weights, what they were trained on, and where test images may be among that."""

from hashlib import sha256
from pathlib import Path

from vitrail.training.build.provenance import provenance


def test_weights_of_timm_have_their_sets_and_their_licence() -> None:
    text = provenance("hf-hub:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert "`vit_tiny_patch16_224.augreg_in21k_ft_in1k`, trained on ImageNet-21k and ImageNet-1k" in text
    assert "(https://huggingface.co/timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k, licence apache-2.0)" in text
    assert "Stanford Dogs" in text


def test_sets_that_are_not_known_are_not_named() -> None:
    text = provenance("hf-hub:timm/vit_base_patch16_clip_224.openai")
    assert "trained on" not in text
    assert "ImageNet" not in text


def test_a_file_has_its_hash(tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(b"weights")
    text = provenance(str(tmp_path / "tiny.safetensors"))
    assert f"`tiny.safetensors`, SHA-256 `{sha256(b'weights').hexdigest()}`" in text
    assert str(tmp_path) not in text


def test_from_scratch_there_are_none() -> None:
    assert provenance("") == "It started from scratch."
