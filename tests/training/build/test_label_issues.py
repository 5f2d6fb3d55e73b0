"""Tests of likely wrong labels: planted ones are found, and clean ones are not listed."""

import numpy as np

from vitrail.training.build.label_issues import FOLDS, folds_of, label_issues


def test_planted_wrong_labels_are_found() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 400)
    logits = random.normal(0, 1, (400, 4))
    logits[np.arange(400), truth] += 4
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    labels, planted = truth.copy(), random.choice(400, 12, replace=False)
    labels[planted] = (labels[planted] + 1) % 4
    found = label_issues(probabilities, labels)
    assert len({one.index for one in found} & {*planted.tolist()}) >= 9
    assert len({one.index for one in found} - {*planted.tolist()}) <= 4
    assert all(one.likely == truth[one.index] for one in found if one.index in planted)


def test_an_unsure_prediction_is_no_issue() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.55, 0.45]], np.float32)
    assert label_issues(probabilities, np.array([0, 0, 1, 1])) == []


def test_folds_hold_each_class_evenly() -> None:
    labels = np.repeat([0, 1, 2], [50, 23, 2])
    folds = folds_of(labels, 1)
    assert len(folds) == FOLDS
    for label, count in ((0, 50), (1, 23)):
        shares = [int((labels[fold] == label).sum()) for fold in folds]
        assert max(shares) - min(shares) <= 1
        assert sum(shares) == count
