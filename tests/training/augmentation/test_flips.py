"""Mirrored images."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import horizontal_flip, vertical_flip

from vitrail.training.augmentation import HorizontalFlip, VerticalFlip
from vitrail.training.augmentation.flips import Flip

from .images import draws, images, maps


@pytest.mark.parametrize(("flip", "reference"), [(HorizontalFlip, horizontal_flip), (VerticalFlip, vertical_flip)])
def test_images_are_mirrored_with_their_maps(flip: type[Flip], reference: type) -> None:
    batch, labels = images(), maps()
    changed, moved = flip(p=1.0)(batch, labels, draws())
    assert torch.equal(changed, reference(batch))
    assert torch.equal(moved, reference(labels))
    assert torch.equal(flip(p=0.0)(batch, labels, draws())[0], batch)


def test_the_probability_is_that_of_each_image() -> None:
    batch = torch.arange(2, dtype=torch.uint8).expand(4000, 3, 1, 2)
    changed = HorizontalFlip(p=0.3)(batch, None, draws(4000))[0]
    assert changed[:, 0, 0, 0].float().mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 4000))
