"""RandAugment and TrivialAugment choose the operations and magnitudes of torchvision."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from vitrail.errors import UsageError
from vitrail.tasks.dense.predictions import IGNORED
from vitrail.training.augmentation import RandAugment, TrivialAugment
from vitrail.training.augmentation.rand_augment import OPERATIONS, RandomOperations

from .images import HEIGHT, WIDTH, draws, furthest, images, maps


def reference(peer: Any, name: str, bin: int, sign: float, image: Tensor) -> Tensor:
    """One operation of torchvision's RandAugment or TrivialAugmentWide, as these apply it."""
    of_bins, signed = peer._AUGMENTATION_SPACE[name]
    magnitudes = of_bins(31, HEIGHT, WIDTH)
    magnitude = 0.0 if magnitudes is None else float(magnitudes[bin]) * (sign if signed else 1)
    out: Tensor = peer._apply_image_or_video_transform(
        image, name, magnitude, interpolation=InterpolationMode.NEAREST, fill=peer._fill
    )
    return out


def test_operations_are_those_of_torchvision() -> None:
    assert (
        list(OPERATIONS) == list(v2.RandAugment._AUGMENTATION_SPACE) == list(v2.TrivialAugmentWide._AUGMENTATION_SPACE)
    )


@pytest.mark.parametrize(
    ("ours", "peer"), [(RandAugment(), v2.RandAugment()), (TrivialAugment(), v2.TrivialAugmentWide())]
)
@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitudes_are_those_of_torchvision(ours: RandomOperations, peer: Any, name: str) -> None:
    batch = images()
    # Between the ends odd ones but 15, whose pixels come from nowhere halfway between two, where rounding decides.
    bins, signs = np.r_[0, 1:14:2, 17:30:2, 30], np.where(np.arange(16) % 3, 1, -1)
    ranges = ours.ranges(HEIGHT, WIDTH)
    changed, _ = OPERATIONS[name](batch, None, bins / 30 * signs, ranges)
    theirs = [reference(peer, name, *row) for row in zip(bins, signs, batch, strict=True)]
    assert furthest(changed, torch.stack(theirs)) <= 1


def test_operations_and_signs_are_equally_frequent() -> None:
    """Of one image, each operation has results of its own."""
    image = images(6)[5:]
    changed = RandAugment(num_ops=1, magnitude=14)(image.expand(2700, -1, -1, -1), None, draws(2700))[0]
    results, counts = changed.unique(dim=0, return_counts=True)
    signed = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness"]
    expected = {}
    for name in OPERATIONS:
        for sign in (-1, 1) if name in signed else (1,):
            expected[name, sign] = 2700 / 14 / (2 if name in signed else 1)
    assert len(results) == len(expected)
    assert sorted(counts.tolist()) == pytest.approx(sorted(expected.values()), rel=0.35)


def test_each_turn_draws_anew() -> None:
    image = images(6)[5:].expand(500, -1, -1, -1)
    once, twice = (RandAugment(num_ops=count, magnitude=14)(image, None, draws(500))[0] for count in (1, 2))
    assert len(once.unique(dim=0)) == 23
    assert len(twice.unique(dim=0)) > 200
    assert torch.equal(RandAugment(num_ops=0)(image, None, draws(500))[0], image)


def test_magnitudes_vary_about_that_of_timm() -> None:
    levels = RandAugment(2, 5, num_magnitude_bins=11, mstd=0.5).levels(draws(5000))
    assert levels.mean() == pytest.approx(0.5, abs=0.005)
    assert levels.std() == pytest.approx(0.05, abs=0.003)
    assert RandAugment(2, 9, num_magnitude_bins=11, mstd=0.5).levels(draws(5000)).max() == 1
    assert set(RandAugment(2, 9).levels(draws(5000))) == {0.3}


def test_trivial_augment_takes_every_magnitude() -> None:
    levels, counts = np.unique(TrivialAugment().levels(draws(6200)), return_counts=True)
    np.testing.assert_allclose(levels, np.arange(31) / 30)
    assert ((counts - 200) ** 2 / 200).sum() < 67  # χ² of 30 degrees: above in 1 of 10,000


def test_maps_move_with_their_images() -> None:
    labels = maps(300)
    batch = (labels + 1)[:, None].expand(-1, 3, -1, -1)
    changed, moved = RandAugment(num_ops=1, magnitude=20)(batch, labels, draws(300))
    geometric = moved.ne(labels).flatten(1).any(dim=1)
    assert geometric.float().mean() == pytest.approx(5 / 14, abs=0.1)
    assert torch.equal(moved[geometric] + 1, changed[geometric][:, 0])
    assert (moved == IGNORED).any()


def test_magnitudes_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="from 0 to 10, not 11"):
        RandAugment(magnitude=11, num_magnitude_bins=11)
    with pytest.raises(UsageError, match="at least 2 magnitudes"):
        TrivialAugment(num_magnitude_bins=1)
