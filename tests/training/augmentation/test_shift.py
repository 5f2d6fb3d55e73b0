"""Padded and cropped images."""

import pytest
import torch
import torch.nn.functional as F

from vitrail.errors import UsageError
from vitrail.tasks.dense.predictions import IGNORED
from vitrail.training.augmentation import Shift

from .images import HEIGHT, WIDTH, draws, images, maps


def test_every_image_is_a_crop_of_the_padded_image() -> None:
    batch, labels, count = images(200), maps(200), 2 * 2 + 1
    changed, moved = Shift(padding=2)(batch, labels, draws(200))
    padded, ignored = F.pad(batch, (2, 2, 2, 2)), F.pad(labels, (2, 2, 2, 2), value=IGNORED)
    crops = padded.unfold(2, HEIGHT, 1).unfold(3, WIDTH, 1)  # [200, 3, 5, 5, HEIGHT, WIDTH]
    found = (crops == changed[:, :, None, None]).all(dim=-1).all(dim=-1).all(dim=1).flatten(1)
    place = found[2:].float().argmax(dim=1)
    assert found[2:].sum(dim=1).eq(1).all()
    assert set(place.tolist()) == set(range(count * count))
    shifted = ignored.unfold(1, HEIGHT, 1).unfold(2, WIDTH, 1).flatten(1, 2)[2:]
    assert torch.equal(moved[2:], shifted[torch.arange(198), place])


def test_no_shift_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one pixel, not 0"):
        Shift(padding=0)
