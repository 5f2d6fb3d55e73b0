"""One label an image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import wilson
from vitrail.tasks.task import TOP_K, Array, Evaluation, LabelTask, log_softmax, margin, softmax


class Classification(LabelTask):
    """Logits [N, K], of which the largest is predicted; targets [N] are classes."""

    name = "classification"
    description = "one label an image"
    heads = ("linear", "cosine")
    single_label = True

    def default_top_k(self, classes: int) -> int:
        return min(TOP_K, classes)

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        best: NDArray[np.int64] = raw.argmax(axis=1)[:, None]
        return best

    def margins(self, raw: Array) -> NDArray[np.float64]:
        return margin(raw)[:, None]

    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        return softmax(logits)

    def log_likelihood(self, logits: Array, targets: Array) -> float:
        return float(log_softmax(logits)[np.arange(len(targets)), targets].sum())

    def confidences(self, probabilities: Array, targets: Array) -> tuple[Array, Array]:
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == targets

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """Accuracy alone; `vitrail test` prints the `classification_report`."""
        return Evaluation(wilson(int((predictions.argmax(axis=1) == targets).sum()), len(targets)))
