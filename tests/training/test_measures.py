"""What `vitrail test` measures, against scikit-learn on the same answers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support, top_k_accuracy_score
from vitrail.tasks.classification.measures import Measures, as_table, macro_f1_interval, measure

NAMES = tuple("abcdefg")


@pytest.fixture
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(len(NAMES) - 1, (300,), generator=random)  # the last class is never meant
    scores = torch.randn(300, len(NAMES), generator=random) + 2 * torch.nn.functional.one_hot(labels, len(NAMES))
    return scores.softmax(dim=1), labels


@pytest.fixture
def measures(answers: tuple[torch.Tensor, torch.Tensor]) -> Measures:
    return measure(*answers, NAMES)


def test_shares_are_scikit_learns(measures: Measures, answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    probabilities, labels = (answer.numpy() for answer in answers)
    for share, k in ((measures.top1, 1), (measures.top5, 5)):
        assert share.value == pytest.approx(top_k_accuracy_score(labels, probabilities, k=k, labels=range(7)))
    assert measures.top1.low < measures.top1.value < measures.top1.high


def test_each_class_is_scikit_learns(measures: Measures, answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    probabilities, labels = (answer.numpy() for answer in answers)
    expected = precision_recall_fscore_support(labels, probabilities.argmax(1), labels=range(7), zero_division=0)
    found = np.array([(row.precision, row.recall, row.f1, row.images) for row in measures.classes]).T
    np.testing.assert_allclose(found, np.array(expected, float), atol=1e-12)
    assert measures.macro_f1 == pytest.approx(expected[2].mean())


def test_the_interval_of_macro_f1_narrows_with_more_images() -> None:
    few = np.array([[8, 2], [3, 7]])
    widths = [high - low for low, high in (macro_f1_interval(few), macro_f1_interval(few * 100))]
    assert widths[0] == pytest.approx(10 * widths[1], rel=0.15)


def test_a_perfect_answer_has_no_doubt_about_macro_f1() -> None:
    assert macro_f1_interval(np.diag([5, 5])) == (1.0, 1.0)


def test_with_few_classes_top_five_becomes_top_all() -> None:
    found = measure(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]), ("no", "yes"))
    assert (found.top_k, found.top5.value, found.top1.value) == (2, 1.0, 0.5)
    assert found.figures() == {"test_top1": 0.5, "test_top2": 1.0, "test_macro_f1": pytest.approx(1 / 3)}


def test_the_table_names_every_class(measures: Measures) -> None:
    lines = as_table(measures).splitlines()
    assert lines[0].startswith(f"top-1     {measures.top1.value:.4f} [")
    assert [line.split()[0] for line in lines[-7:]] == list(NAMES)
