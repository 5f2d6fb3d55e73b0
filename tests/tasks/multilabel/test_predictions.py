"""Multilabel: probabilities and likelihoods as torch has them, figures as scikit-learn has them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, f1_score

from vitrail.tasks import Multilabel

from ..figures import metrics

NAMES = ("ash", "birch", "cedar")


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


def test_table_lists_metrics_then_classes() -> None:
    lines = Multilabel().evaluate(*drawn_labels(), NAMES).table().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["accuracy", "micro-F1", "macro-F1"]
    assert [line.split()[0] for line in lines[-3:]] == list(NAMES)


def test_multilabel_decides_each_label_by_itself() -> None:
    random = np.random.default_rng(0)
    task, logits = Multilabel(), random.normal(size=(20, 4)).astype(np.float32)
    targets = (random.random((20, 4)) < 0.3).astype(np.uint8)
    expected = F.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(targets).float(), reduction="sum"
    )
    np.testing.assert_allclose(task.log_likelihood(logits, targets), -expected, rtol=1e-5)
    probabilities = task.probabilities(logits)
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).sigmoid(), atol=1e-6)
    assert np.array_equal(task.decisions(logits), task.decided(probabilities))
    sure, correct = task.confidences(probabilities, targets)
    assert (sure.min(), len(sure)) >= (0.5, 80)
    assert correct.mean() == ((logits > 0) == targets).mean()


def test_large_log_odds_stay_finite() -> None:
    logits = np.array([[-1e4, -100.0, 100.0, 1e4]], np.float32)
    assert Multilabel().probabilities(logits)[0, [0, 3]].tolist() == [0.0, 1.0]
    assert np.isfinite(Multilabel().log_likelihood(logits, np.array([[1, 0, 1, 0]])))
