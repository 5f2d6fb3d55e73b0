"""Shares and weights of classes, by hand."""

import numpy as np
import pytest

from vitrail.errors import DataError
from vitrail.tasks.classification.balance import class_shares, class_weights

LABELS = np.array([0, 0, 0, 0, 0, 2, 2, 1])


def test_an_image_of_weight_two_counts_like_the_image_twice() -> None:
    assert class_shares(LABELS, 3).tolist() == [5 / 8, 1 / 8, 2 / 8]
    weights = np.array([1.0, 1, 1, 1, 1, 1, 1, 2]) * 8 / 9
    twice = class_shares(np.append(LABELS, 1), 3)
    np.testing.assert_allclose(class_shares(LABELS, 3, weights), twice)


def test_weights_even_classes_out_and_have_a_mean_of_one() -> None:
    weights = class_weights(class_shares(LABELS, 3))
    assert weights.tolist() == pytest.approx([8 / 15, 8 / 3, 8 / 6])
    assert weights[LABELS].mean() == pytest.approx(1)
    assert np.bincount(LABELS, weights[LABELS]).tolist() == pytest.approx([8 / 3] * 3)


def test_a_class_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="class number 1 has no training images"):
        class_shares(np.array([0, 2]), 3)
