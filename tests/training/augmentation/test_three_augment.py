"""ThreeAugment: each image grey, solarised or blurred, as torchvision defines these, and then other colours."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from vitrail.data.draws import Draws
from vitrail.training.augmentation import ThreeAugment
from vitrail.training.augmentation.colours import blur
from vitrail.training.augmentation.three_augment import blurred, greyed, solarised

from .images import furthest, images


def test_the_three_are_those_of_torchvision() -> None:
    some, deviations = images(6), np.linspace(0.1, 2, 6)
    at = np.arange(6)
    assert furthest(greyed(some, None, at)[0], F.rgb_to_grayscale(some, 3)) <= 1
    assert torch.equal(solarised(some, None, at)[0], F.solarize(some, 128))
    for image, ours, deviation in zip(some, blurred(deviations, some, None, at)[0], deviations, strict=True):
        assert furthest(ours, F.gaussian_blur(image, [13, 13], [float(deviation)] * 2)) <= 1


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_blur_wider_than_the_image_keeps_its_range(side: int) -> None:
    some = images(4)[..., :side, :side]
    changed = blur(some, np.full(4, 2.0))
    assert changed.shape == some.shape
    assert (changed.amax((1, 2, 3)) <= some.amax((1, 2, 3))).all()
    assert side > 1 or torch.equal(changed, some)


def test_each_is_chosen_equally_often() -> None:
    """Without other colours: recognised by what they leave of a coloured image with an edge."""
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    image[:, 0, :, 4:] = 200
    many = image.expand(3000, -1, -1, -1)
    changed, _ = ThreeAugment(0.0)(many, None, Draws.of(0, 0, np.arange(3000)))
    is_grey = (changed[:, 0] == changed[:, 1]).flatten(1).all(1)
    is_inverted = changed[:, 0, 0, 7] == 55
    counts = [int(is_grey.sum()), int(is_inverted.sum()), int((~is_grey & ~is_inverted).sum())]
    assert sum(counts) == 3000
    assert min(counts) > 900
