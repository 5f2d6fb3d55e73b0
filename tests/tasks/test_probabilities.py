"""Probabilities, decisions and likelihoods of each task, against their definitions and torch."""

import numpy as np
import torch
import torch.nn.functional as F

from vitrail.tasks import Dense, Multilabel
from vitrail.tasks.dense.predictions import IGNORED

RANDOM = np.random.default_rng(0)


def test_multilabel_decides_each_label_by_itself() -> None:
    task, logits = Multilabel(), RANDOM.normal(size=(20, 4)).astype(np.float32)
    targets = (RANDOM.random((20, 4)) < 0.3).astype(np.uint8)
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


def test_unknown_cells_are_ignored() -> None:
    task, logits = Dense(), RANDOM.normal(size=(3, 2, 2, 5)).astype(np.float32)
    maps = RANDOM.integers(0, 5, (3, 2, 2)).astype(np.uint8)
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
