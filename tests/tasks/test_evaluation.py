"""The evaluation of each task against scikit-learn on the same predictions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, mean_absolute_error, r2_score

from vitrail.tasks import Dense, Multilabel, Regression
from vitrail.tasks.dense.predictions import IGNORED, cell_classes
from vitrail.tasks.task import Evaluation

NAMES = ("ash", "birch", "cedar")


def metrics(evaluation: Evaluation) -> dict[str, tuple[float, float, float]]:
    return {one.name: (one.value, one.low, one.high) for one in evaluation.others}


def drawn_labels(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    targets = (random.random((count, 3)) < (0.5, 0.2, 0.05)).astype(np.uint8)
    return 1 / (1 + np.exp(-(random.normal(size=(count, 3)) + 2 * targets - 1))), targets


def test_multilabel_metrics_match_scikit_learn() -> None:
    probabilities, targets = drawn_labels()
    predicted = probabilities > 0.5
    evaluation = Multilabel().evaluate(probabilities, targets, NAMES)
    results = metrics(evaluation)
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.value == pytest.approx((predicted == targets).all(axis=1).mean())
    assert results["micro-F1"][0] == pytest.approx(f1_score(targets, predicted, average="micro"))
    assert results["macro-F1"][0] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert all(low < value < high for value, low, high in results.values())
    precision = [row[evaluation.columns.index("AP")] for _, row in evaluation.rows]
    assert precision == pytest.approx([average_precision_score(targets[:, i], probabilities[:, i]) for i in range(3)])
    assert [row[-1] for _, row in evaluation.rows] == targets.sum(axis=0).tolist()


def test_average_precision_ignores_the_order_of_equal_scores() -> None:
    predictions, targets = np.full((4, 1), 0.5), np.array([[1], [0], [0], [1]])
    evaluation = Multilabel().evaluate(predictions, targets, ("ash",))
    assert evaluation.rows[0][1][3] == 0.5


def test_intervals_narrow_with_more_images() -> None:
    probabilities, targets = drawn_labels()
    few, many = (
        metrics(Multilabel().evaluate(np.tile(probabilities, (times, 1)), np.tile(targets, (times, 1)), NAMES))[
            "micro-F1"
        ]
        for times in (1, 16)
    )
    assert many[0] == pytest.approx(few[0])
    assert many[2] - many[1] == pytest.approx((few[2] - few[1]) / 4, rel=0.2)


def test_regression_metrics_match_scikit_learn_at_any_scale() -> None:
    random = np.random.default_rng(1)
    targets = random.normal((0, 1e4), (2, 1e-2), (300, 2))
    predictions = targets + random.normal(0, (0.5, 5e-3), (300, 2))
    results = metrics(Regression().evaluate(predictions, targets, ("height", "weight")))
    for i, name in enumerate(("height", "weight")):
        assert results[f"MAE of {name}"][0] == pytest.approx(
            mean_absolute_error(targets[:, i], predictions[:, i]), rel=1e-6
        )
        assert results[f"R² of {name}"][0] == pytest.approx(r2_score(targets[:, i], predictions[:, i]), rel=1e-4)
        value, low, high = results[f"RMSE of {name}"]
        assert value == pytest.approx(np.sqrt(np.mean((predictions - targets)[:, i] ** 2)), rel=1e-6)
        assert low < value < high


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


def test_table_lists_metrics_then_classes() -> None:
    lines = Multilabel().evaluate(*drawn_labels(), NAMES).table().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["accuracy", "micro-F1", "macro-F1"]
    assert [line.split()[0] for line in lines[-3:]] == list(NAMES)


def test_the_card_stores_sixteen_cells_of_a_large_grid_and_all_of_a_small_one() -> None:
    large, small = np.random.default_rng(0).random((2, 9, 9, 3)), np.random.default_rng(0).random((2, 3, 4, 3))
    assert Dense().golden(small).tolist() == small.reshape(2, -1).tolist()
    stored = Dense().golden(large)
    assert stored.shape == (2, 48)
    assert np.array_equal(stored[:, :3], large[:, 0, 0])
    assert np.array_equal(stored[:, -3:], large[:, -1, -1])
