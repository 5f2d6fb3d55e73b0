"""Dense: likelihoods as torch has them, figures as scikit-learn has them, and the class of a cell."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import jaccard_score

from vitrail.tasks import Dense
from vitrail.tasks.dense.predictions import IGNORED, cell_classes

from ..figures import metrics

NAMES = ("ash", "birch", "cedar")


def test_dense_metrics_count_known_cells_alone() -> None:
    random = np.random.default_rng(2)
    maps = random.integers(0, 3, (40, 4, 4)).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)  # a grid of 4 × 4
    maps[:, :2, :4] = IGNORED
    predictions = random.random((40, 4, 4, 3)) + 0.5 * np.eye(4)[maps[:, ::2, ::2] % 4][..., :3]
    predicted, target = predictions.argmax(-1).ravel(), maps[:, ::2, ::2].ravel()
    known = target != IGNORED
    results = metrics(evaluation := Dense().evaluate(predictions, maps, NAMES))
    accuracy = evaluation.accuracy
    assert accuracy is not None
    assert accuracy.value == pytest.approx((predicted == target)[known].mean())
    assert (accuracy.hits, accuracy.total) == ((predicted == target)[known].sum(), known.sum())
    assert accuracy.low < accuracy.value < accuracy.high
    each = jaccard_score(target[known], predicted[known], average=None)
    assert [row[0] for _, row in evaluation.rows] == pytest.approx(each.tolist())
    assert results["mean IoU"][0] == pytest.approx(each.mean())
    assert [row[2] for _, row in evaluation.rows] == np.bincount(target[known]).tolist()


def test_mean_iou_leaves_out_absent_classes() -> None:
    maps, predictions = np.zeros((2, 2, 2), np.uint8), np.tile(np.array([0.9, 0.05, 0.05]), (2, 2, 2, 1))
    assert metrics(Dense().evaluate(predictions, maps, NAMES))["mean IoU"] == (1.0, 1.0, 1.0)


def test_unknown_cells_are_ignored() -> None:
    random = np.random.default_rng(0)
    task, logits = Dense(), random.normal(size=(3, 2, 2, 5)).astype(np.float32)
    maps = random.integers(0, 5, (3, 2, 2)).astype(np.uint8)
    maps[0] = IGNORED
    expected = F.cross_entropy(
        torch.from_numpy(logits).flatten(0, 2),
        torch.from_numpy(maps).flatten().long(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    np.testing.assert_allclose(task.log_likelihood(logits, maps), -expected, rtol=1e-5)
    sure, correct = task.confidences(task.probabilities(logits), maps)
    assert len(sure) == len(correct) == 8
    accuracy = task.evaluate(task.probabilities(logits), maps, tuple("abcde")).accuracy
    assert accuracy is not None
    assert (accuracy.hits, accuracy.total) == (correct.sum(), 8)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_a_cell_has_the_class_of_more_than_half_of_its_pixels(kind: Callable[[NDArray[np.uint8]], Any]) -> None:
    patches = [
        [0, 0, 0, 1],
        [0, 0, 1, 1],
        [2, 2, 2, 2],
        [IGNORED, IGNORED, IGNORED, 1],
        [1, 1, 1, IGNORED],
        [0, 1, 2, 2],
    ]
    maps = np.array(patches, np.uint8).reshape(6, 2, 2)
    assert cell_classes(kind(maps), (1, 1), 3).ravel().tolist() == [0, IGNORED, 2, IGNORED, 1, IGNORED]


def test_cells_are_where_their_pixels_are() -> None:
    maps = np.arange(6, dtype=np.uint8).reshape(1, 2, 3).repeat(6, axis=1).repeat(4, axis=2)
    assert np.array_equal(cell_classes(maps, (2, 3), 6)[0], np.arange(6).reshape(2, 3))


def test_the_card_stores_sixteen_cells_of_a_large_grid_and_all_of_a_small_one() -> None:
    large, small = np.random.default_rng(0).random((2, 9, 9, 3)), np.random.default_rng(0).random((2, 3, 4, 3))
    assert Dense().golden(small).tolist() == small.reshape(2, -1).tolist()
    stored = Dense().golden(large)
    assert stored.shape == (2, 48)
    assert np.array_equal(stored[:, :3], large[:, 0, 0])
    assert np.array_equal(stored[:, -3:], large[:, -1, -1])
