"""Same or different: the label is in the pixels, and in neither pattern alone."""

import numpy as np
import pytest

from vitrail.data.draws import Draws
from vitrail.data.procedural.same_different import CELL, CELLS, CONTRAST, SAME_DIFFERENT, pairs

from .shortcuts import bag_of_patches, linear_accuracy, pixels

COUNT = 2_000
LABELS = np.arange(COUNT) % 2
WIDTH = CELLS * CELL
INK = CELLS**2 // 2 * CELL**2  # pixels of one pattern


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return SAME_DIFFERENT.draw(Draws.of(0, 0, np.arange(COUNT)), LABELS)


def ink_of(image: np.ndarray) -> np.ndarray:
    levels, counts = np.unique(image, return_counts=True)
    assert levels.size == 2
    assert np.ptp(levels.astype(int)) >= CONTRAST - 1
    assert counts.min() == 2 * INK
    ink: np.ndarray = image == levels[counts.argmin()]
    return ink


def test_two_patterns_of_equal_ink_are_equal_if_the_label_says_so(images: np.ndarray) -> None:
    for image, label in zip(images[:40], LABELS, strict=False):
        ink = ink_of(image)
        windows = [
            (ink[a : a + WIDTH, b : b + WIDTH], ink[c : c + WIDTH, d : d + WIDTH]) for a, b, c, d in pairs().tolist()
        ]
        whole = [(one, two) for one, two in windows if one.sum() == two.sum() == INK]
        assert whole
        assert any(np.array_equal(one, two) for one, two in whole) == bool(label)


def test_linear_models_of_pixels_and_patches_are_at_chance(images: np.ndarray) -> None:
    assert abs(linear_accuracy(pixels(images), LABELS) - 0.5) < 0.05
    assert abs(linear_accuracy(bag_of_patches(images), LABELS) - 0.5) < 0.05


def test_ink_is_as_often_lighter_as_darker(images: np.ndarray) -> None:
    lighter = np.mean([image[ink_of(image)].mean() > image[~ink_of(image)].mean() for image in images[:500]])
    assert 0.4 < lighter < 0.6
