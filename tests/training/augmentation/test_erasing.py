"""Random erasing."""

from typing import Any

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.training.augmentation import Erasing

from .images import draws, images, maps

COUNT, SIDE = 3000, 40


def erased(**options: Any) -> torch.Tensor:
    """Which pixels of white images are changed: bool [COUNT, SIDE, SIDE]."""
    white = torch.full((COUNT, 3, SIDE, SIDE), 255, dtype=torch.uint8)
    changed: torch.Tensor = Erasing(p=0.6, **options)(white, None, draws(COUNT))[0]
    return (changed != 255)[:, 0]


def test_rectangles_have_the_areas_and_ratios_of_torchvision() -> None:
    pixels = erased()
    areas = pixels.flatten(1).sum(dim=1)
    heights, widths = pixels.any(dim=2).sum(dim=1), pixels.any(dim=1).sum(dim=1)
    assert torch.equal(areas, heights * widths)  # rectangles
    here = areas > 0
    assert here.float().mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / COUNT))
    share, ratio = areas[here] / SIDE**2, heights[here] / widths[here]
    assert 0.015 < share.min() < 0.025
    assert 0.31 < share.max() < 0.35
    assert share.mean() == pytest.approx(0.175, abs=0.01)  # of a uniform share from 0.02 to 0.33
    assert ratio.log().mean() == pytest.approx(0, abs=0.05)
    assert ratio.min() > 0.2
    assert ratio.max() < 4.5


def test_rectangles_are_everywhere_alike() -> None:
    covered = erased(scale=(0.1, 0.1), ratio=(1.0, 1.0)).float().mean(dim=0)
    side, places = 13, SIDE - 13 + 1
    corner, middle = 0.6 / places**2, 0.6 * (side / places) ** 2
    for one in (covered[0, 0], covered[0, -1], covered[-1, 0], covered[-1, -1]):
        assert one == pytest.approx(corner, abs=0.003)
    assert covered[20, 20] == pytest.approx(middle, abs=0.03)


def test_a_rectangle_that_fits_nowhere_is_left_out() -> None:
    assert not erased(scale=(1.0, 1.0), ratio=(1.0, 1.0)).any()


def test_values_of_channels_and_noise() -> None:
    batch, labels = images()[2:], maps()[2:]
    coloured, same = Erasing(p=1.0, value=(1.0, 2.0, 3.0))(batch, labels, draws(14))
    there = (coloured != batch).any(dim=1)
    assert torch.equal(same, labels)
    assert {tuple(pixel) for pixel in coloured.permute(0, 2, 3, 1)[there].tolist()} == {(1, 2, 3)}
    noisy = Erasing(p=1.0, value="random")(batch, labels, draws(14))[0]
    values = noisy.permute(0, 2, 3, 1)[there].float()
    assert values.mean() == pytest.approx(127.5, abs=5)
    assert values.std() == pytest.approx(73.9, abs=5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"scale": (0.5, 0.1)}, "scale is"), ({"scale": (0.1, 1.5)}, "scale is"), ({"ratio": (0.0, 1.0)}, "ratio is")],
)
def test_ranges_that_are_none_are_refused(options: dict[str, tuple[float, float]], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        erased(**options)
