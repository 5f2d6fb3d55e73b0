"""The classification report against scikit-learn on the same predictions."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support, top_k_accuracy_score

from vitrail.tasks.classification.report import ClassificationReport, bootstrap_intervals, classification_report

NAMES = tuple("abcdefg")
Predictions = tuple[torch.Tensor, torch.Tensor]  # probabilities and labels


@pytest.fixture
def predictions() -> Predictions:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(len(NAMES) - 1, (300,), generator=random)  # the last class is never a target
    scores = torch.randn(300, len(NAMES), generator=random) + 2 * torch.nn.functional.one_hot(labels, len(NAMES))
    return scores.softmax(dim=1), labels


@pytest.fixture
def report(predictions: Predictions) -> ClassificationReport:
    return classification_report(*predictions, NAMES)


def test_top1_and_top5_match_scikit_learn(
    report: ClassificationReport, predictions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    probabilities, labels = (one.numpy() for one in predictions)
    for share, k in ((report.top1, 1), (report.top5, 5)):
        assert share.value == pytest.approx(top_k_accuracy_score(labels, probabilities, k=k, labels=range(7)))
    assert report.top1.low < report.top1.value < report.top1.high


def test_scores_of_each_class_match_scikit_learn(
    report: ClassificationReport, predictions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    probabilities, labels = (one.numpy() for one in predictions)
    expected = precision_recall_fscore_support(labels, probabilities.argmax(1), labels=range(7), zero_division=0)
    actual = np.array([(row.precision, row.recall, row.f1, row.images) for row in report.classes]).T
    np.testing.assert_allclose(actual, np.array(expected, float), atol=1e-12)
    assert report.macro_f1 == pytest.approx(expected[2].mean())


def test_balanced_accuracy_matches_scikit_learn(
    report: ClassificationReport, predictions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    probabilities, labels = (one.numpy() for one in predictions)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(labels, probabilities.argmax(1))
    assert report.balanced == pytest.approx(expected)
    assert report.balanced_low < report.balanced < report.balanced_high


def test_the_interval_of_macro_f1_narrows_with_more_images() -> None:
    labels, predicted = np.repeat([0, 0, 1, 1], [8, 2, 3, 7]), np.repeat([0, 1, 0, 1], [8, 2, 3, 7])
    both = (bootstrap_intervals(np.tile(labels, times), np.tile(predicted, times), 2) for times in (1, 100))
    widths = [high[0] - low[0] for low, high in both]
    assert widths[0] == pytest.approx(10 * widths[1], rel=0.15)


def test_perfect_predictions_have_no_interval() -> None:
    labels = np.repeat([0, 1], 5)
    low, high = bootstrap_intervals(labels, labels, 2)
    assert low.tolist() == high.tolist() == [1.0, 1.0]


def test_thousands_of_classes_take_little_memory() -> None:
    labels = torch.arange(2000)
    probabilities = torch.zeros(2000, 2000)
    probabilities[labels, torch.where(labels < 500, labels, 0)] = 1  # the others are taken for the first class
    tracemalloc.start()
    report = classification_report(probabilities, labels, tuple(map(str, range(2000))))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200e6
    assert report.balanced == 0.25
    assert report.balanced_low < 0.25 < report.balanced_high


def test_top5_becomes_top_k_with_few_classes() -> None:
    report = classification_report(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]), ("no", "yes"))
    assert (report.top_k, report.top5.value, report.top1.value) == (2, 1.0, 0.5)
    assert report.metrics() == {
        "test_top1": 0.5,
        "test_top2": 1.0,
        "test_macro_f1": pytest.approx(1 / 3),
        "test_balanced_accuracy": 0.5,
    }


def test_table_has_a_row_for_every_class(report: ClassificationReport) -> None:
    lines = report.table().splitlines()
    assert lines[0].startswith(f"top-1     {report.top1.value:.4f} [")
    assert [line.split()[0] for line in lines[-7:]] == list(NAMES)
