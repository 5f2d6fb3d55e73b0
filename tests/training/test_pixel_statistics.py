"""Mean and standard deviation of training images: numpy's, and those of the checkpoint, whatever the command."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models import ViT
from vitrail.models.checkpoint import load_checkpoint, read_checkpoint
from vitrail.models.input import Input
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.pixel_statistics import mean_and_std, measured


def test_they_are_numpys() -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, high, (8, side, 3), np.uint8) for high, side in ((256, 5), (90, 9), (200, 2))]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    mean, std = mean_and_std(images)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=0), atol=1e-12)


def test_pixels_that_are_all_the_same_are_not_divided_by_zero() -> None:
    mean, std = mean_and_std([np.full((2, 2, 3), 51, np.uint8)])
    assert mean == pytest.approx((0.2, 0.2, 0.2))
    assert std == (1 / 255, 1 / 255, 1 / 255)


def test_they_are_measured_on_training_images_alone_in_memory_or_not() -> None:
    data = ImageDataModule(path="digits", size=8, images=300)
    pixels = data.part("train").images.reshape(-1, 3) / 255
    expected = pixels.mean(axis=0), pixels.std(axis=0)
    np.testing.assert_allclose(measured(data), expected, atol=1e-12)
    cropped = ImageDataModule(path="digits", size=8, images=300, crop=RandomCrop())
    assert not cropped.is_resident("train")
    np.testing.assert_allclose(measured(cropped), expected, atol=0.02)  # at their own shape, which is 8×8 here


def test_a_checkpoint_holds_them_and_every_command_uses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ["--data.images=200", "--trainer.max_steps=10", "--model.statistics=images", "--model.net.depth=1"]
    assert main(["fit", "--config=digits-vit", f"--run={run}", *options]) == 0
    best = run / "checkpoints/best.ckpt"
    origin, _ = load_checkpoint(best)
    data = ImageDataModule(path="digits", size=8, images=200)
    assert (origin.input.mean, origin.input.std) == measured(data)
    network, _ = read_checkpoint(best)
    validation = data.part("val")
    with torch.inference_mode():
        logits = network(Input(origin.input)(torch.from_numpy(validation.images)))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(validation.labels)).item()
    capsys.readouterr()
    assert main(["validate", f"--ckpt_path={best}"]) == 0
    assert f"val_loss {loss:.4f}" in capsys.readouterr().out


def test_by_default_pixels_are_halved() -> None:
    rule = ImageModule(ViT(patch=2, width=16, depth=1, heads=2), 3, 8).input.rule
    assert (rule.mean, rule.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_pretrained_weights_keep_theirs() -> None:
    net = ViT(name="vit_tiny_patch16_224", pretrained="weights.pth")
    with pytest.raises(UsageError, match="come with statistics of pixels"):
        ImageModule(net, 3, 32, statistics="images")
