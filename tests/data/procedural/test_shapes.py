"""Shapes: of equal area, told apart by their outline and not by places, levels or amounts of ink."""

import numpy as np
import pytest

from vitrail.data.draws import Draws
from vitrail.data.procedural.shapes import DISTANCES, REACH, SHAPES

from .shortcuts import bag_of_patches, linear_accuracy, pixels

COUNT = 1_500
LABELS = np.arange(COUNT) % len(DISTANCES)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return SHAPES.draw(Draws.of(0, 0, np.arange(COUNT)), LABELS)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_shape_has_area_one_and_stays_within_reach(name: str) -> None:
    line = np.linspace(-1, 1, 1_001)
    x, y = np.meshgrid(line, line)
    inside = DISTANCES[name](x, y) < 0
    assert inside.mean() * 4 == pytest.approx(1, abs=0.01)
    assert np.hypot(x, y)[inside].max() <= REACH


def test_the_outline_tells_the_shape(images: np.ndarray) -> None:
    assert linear_accuracy(bag_of_patches(images), LABELS) > 0.7


def test_a_linear_model_of_pixels_is_at_chance(images: np.ndarray) -> None:
    assert linear_accuracy(pixels(images), LABELS) < 0.2 + 0.05


def test_level_and_contrast_tell_nothing(images: np.ndarray) -> None:
    levels = np.stack([images.mean(axis=(1, 2)), np.median(images, axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    assert linear_accuracy(levels, LABELS) < 0.2 + 0.05
