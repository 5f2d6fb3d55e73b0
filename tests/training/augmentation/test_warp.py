"""Affine changes equal those of torchvision, pixel by pixel, and move maps alike."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TV

from vitrail.tasks.dense.predictions import IGNORED
from vitrail.training.augmentation import warp

from .images import images, maps

Reference = Callable[[Tensor, float], Tensor]


def affine(image: Tensor, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0, 0)) -> Tensor:
    """With the centre that torchvision's RandAugment gives to shears; translations take no notice of it."""
    degrees = [math.degrees(math.atan(factor)) for factor in shear]
    out: Tensor = TV.affine(image, angle=0.0, translate=list(translate), scale=1.0, shear=degrees, center=[0, 0])
    return out


PEERS: dict[str, tuple[warp.Matrices, Reference, float]] = {
    "shear_x": (warp.shear_x, lambda image, factor: affine(image, shear=(factor, 0)), 0.93),
    "shear_y": (warp.shear_y, lambda image, factor: affine(image, shear=(0, factor)), 0.93),
    "translate_x": (warp.translate_x, lambda image, pixels: affine(image, (int(pixels), 0)), 40.7),
    "translate_y": (warp.translate_y, lambda image, pixels: affine(image, (0, int(pixels))), 40.7),
    "rotate": (warp.rotate, lambda image, degrees: TV.rotate(image, degrees), 131.3),
}


@pytest.mark.parametrize("name", PEERS)
def test_images_are_those_of_torchvision(name: str) -> None:
    matrices, reference, most = PEERS[name]
    batch, magnitudes = images(), np.linspace(-most, most, 16)
    ours, _ = warp.warped(batch, None, matrices(magnitudes, *batch.shape[-2:]))
    theirs = torch.stack([reference(*pair) for pair in zip(batch, magnitudes.tolist(), strict=True)])
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", PEERS)
def test_maps_move_with_their_images_and_gaps_are_ignored(name: str) -> None:
    matrices, _, most = PEERS[name]
    labels = maps()
    batch = (labels + 1)[:, None].expand(-1, 3, -1, -1)  # 0 is left to the gaps
    magnitudes = np.linspace(-most, most, 16)
    ours, moved = warp.warped(batch, labels, matrices(magnitudes, *batch.shape[-2:]))
    assert moved is not None
    assert torch.equal(moved + 1, ours[:, 0])
    assert (moved == IGNORED).any()
    assert (moved != IGNORED).any()


def test_the_identity_changes_nothing() -> None:
    batch, labels = images(), maps()
    ours, moved = warp.warped(batch, labels, np.tile(np.eye(2, 3), (16, 1, 1)))
    assert torch.equal(ours, batch)
    assert moved is not None
    assert torch.equal(moved, labels)
