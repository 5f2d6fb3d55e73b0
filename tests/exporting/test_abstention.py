"""The threshold of abstention: it keeps the promised share of correct predictions."""

import numpy as np
import pytest

from vitrail.exporting.abstention import evaluate_threshold, fit_threshold

# 100 images of two classes; image i is predicted with probability 0.5 + i / 250, correctly from the 20th on.
SURE = 0.5 + np.arange(100) / 250
LOGITS = np.stack([np.log(SURE), np.log(1 - SURE)], axis=1).astype(np.float32)
LABELS = (np.arange(100) < 20).astype(np.int64)


def test_95_of_100_correct_predictions_reach_the_threshold() -> None:
    threshold = fit_threshold(LOGITS, LABELS, 1.0)
    assert threshold == pytest.approx(SURE[20 + 3], abs=1e-6)  # 4 of the 80 correct may fall below or on it
    weighed = evaluate_threshold(threshold - 1e-6, LOGITS, LABELS, 1.0)
    assert (weighed.coverage.hits, weighed.coverage.total) == (77, 100)
    assert (weighed.selective_accuracy.hits, weighed.selective_accuracy.total) == (77, 77)


def test_a_network_without_correct_predictions_never_abstains() -> None:
    wrong = 1 - LOGITS.argmax(1)
    assert fit_threshold(LOGITS, wrong, 1.0) == 0.0


def test_selective_accuracy_is_undefined_without_predictions() -> None:
    weighed = evaluate_threshold(1.1, LOGITS, LABELS, 1.0)
    assert (weighed.coverage.value, weighed.selective_accuracy.total) == (0.0, 0)
    assert (weighed.selective_accuracy.low, weighed.selective_accuracy.high) == (0.0, 1.0)
