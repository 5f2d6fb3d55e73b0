"""Images to pixels in the graph: the identity on a canvas, and close to Pillow elsewhere."""

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from vitrail.images.canvas import InputRule, Resize, to_canvas
from vitrail.models.input import Input

SQUARES = [resize for resize in get_args(Resize) if resize != "native"]


def smooth_image(height: int, width: int) -> np.ndarray:
    """An image without hard edges, so that two resizers differ by rounding alone."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(x / (7 + c) + y / (11 - c)) for c in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


@pytest.mark.parametrize("resize", SQUARES)
def test_a_canvas_is_only_normalised(resize: Resize) -> None:
    rule = InputRule(16, resize, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    canvas = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8))
    mean, std = 255 * torch.tensor(rule.mean), 255 * torch.tensor(rule.std)
    expected = ((canvas.float() - mean) / std).permute(0, 3, 1, 2)
    assert torch.equal(Input(rule)(canvas), expected)


@pytest.mark.parametrize("resize", SQUARES)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (97, 50), (20, 31), (5, 300), (301, 1)])
def test_other_sizes_are_resized_as_pillow_does(resize: Resize, height: int, width: int) -> None:
    image = smooth_image(height, width)
    rule = InputRule(24, resize, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    ours = 255 * Input(rule)(torch.from_numpy(image)[None])[0].permute(1, 2, 0).numpy()
    theirs = to_canvas(Image.fromarray(image), rule).astype(float)
    assert np.abs(ours - theirs).max() <= 1.5


def test_an_oblong_image_is_padded_without_a_square_around_it() -> None:
    """The square of a line of a million pixels would take 12 TB."""
    line = torch.full((1, 1, 1_000_000, 3), 255, dtype=torch.uint8)
    canvas = Input(InputRule(8, "pad", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))(line)
    assert canvas[0, 0].sum(dim=1).tolist() == pytest.approx([0, 0, 0, 8, 0, 0, 0, 0], abs=1e-3)
