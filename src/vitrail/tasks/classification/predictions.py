"""One label an image."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import wilson
from vitrail.tasks.ranking import in_words, ranked
from vitrail.tasks.task import Measured, Numbers, Payload, ProbabilityTask, log_softmax, margin, softmax


class Classification(ProbabilityTask):
    """Logits [N, K] of which the largest is the answer; targets [N] are classes."""

    name = "classification"
    ranks = True

    def choices(self, raw: Numbers) -> NDArray[np.int64]:
        best: NDArray[np.int64] = raw.argmax(axis=1)[:, None]
        return best

    def clearness(self, raw: Numbers) -> NDArray[np.float64]:
        return margin(raw)[:, None]

    def probabilities(self, logits: Numbers) -> NDArray[np.float64]:
        return softmax(logits)

    def log_likelihood(self, logits: Numbers, targets: Numbers) -> float:
        return float(log_softmax(logits)[np.arange(len(targets)), targets].sum())

    def decisions(self, probabilities: Numbers, targets: Numbers) -> tuple[Numbers, Numbers]:
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == targets

    def measure(self, answers: Numbers, targets: Numbers, names: Sequence[str]) -> Measured:
        """Accuracy alone: what more there is to know, `vitrail test` measures."""
        return Measured(wilson(int((answers.argmax(axis=1) == targets).sum()), len(targets)))

    def payload(self, row: Mapping[str, Numbers], names: Sequence[str], top_k: int) -> Payload:
        return {"labels": ranked(row["probabilities"], names, top_k)}

    def text(self, payload: Payload) -> str:
        return in_words(payload["labels"])
