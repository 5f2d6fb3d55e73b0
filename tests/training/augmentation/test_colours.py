"""Changes of colours are those of torchvision: identical, or within 1 of 255 where a blend is rounded otherwise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TV

from vitrail.training.augmentation import colours
from vitrail.training.augmentation.batch_transform import per_image

from .images import furthest, images

PEERS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[..., Tensor], np.ndarray, int]] = {
    "brightness": (colours.brightness, TV.adjust_brightness, np.linspace(0, 2, 16), 0),
    "contrast": (colours.contrast, TV.adjust_contrast, np.linspace(0, 2, 16), 1),
    "saturation": (colours.saturation, TV.adjust_saturation, np.linspace(0, 2, 16), 1),
    "sharpness": (colours.sharpness, TV.adjust_sharpness, np.linspace(0, 2, 16), 1),
    "posterize": (colours.posterize, lambda image, bits: TV.posterize(image, int(bits)), np.arange(16) % 9, 0),
    "solarize": (colours.solarize, TV.solarize, np.linspace(0, 255, 16), 0),
    "hue": (colours.hue, TV.adjust_hue, np.linspace(-0.5, 0.5, 16), 1),
}


@pytest.mark.parametrize("name", PEERS)
def test_colours_are_those_of_torchvision(name: str) -> None:
    change, reference, magnitudes, bound = PEERS[name]
    batch = images()
    ours = change(batch, per_image(magnitudes.astype(float), batch.device))
    theirs = torch.stack([reference(*pair) for pair in zip(batch, magnitudes.tolist(), strict=True)])
    assert ours.dtype == torch.uint8
    assert furthest(ours, theirs) <= bound
    assert furthest(ours, batch) > 100


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_a_factor_of_one_is_the_image(name: str) -> None:
    batch = images()
    assert torch.equal(PEERS[name][0](batch, torch.ones(16, 1, 1, 1)), batch)


def test_solarize_from_zero_inverts() -> None:
    batch = images()
    assert torch.equal(colours.solarize(batch, torch.zeros(16, 1, 1, 1)), TV.invert(batch))


def test_an_image_without_inner_pixels_is_not_sharpened() -> None:
    batch = images()[:, :, :2]
    assert torch.equal(colours.sharpness(batch, torch.zeros(16, 1, 1, 1)), batch)
