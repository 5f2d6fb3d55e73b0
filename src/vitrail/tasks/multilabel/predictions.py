"""Several labels an image, or none."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.bootstrap import Bootstrap
from vitrail.tasks.intervals import wilson
from vitrail.tasks.ranking import in_words, ranked
from vitrail.tasks.task import Measured, Numbers, Payload, ProbabilityTask


class Multilabel(ProbabilityTask):
    """Logits [N, K] are log-odds, each of a label of its own; targets [N, K] are 1 where the image has it."""

    name = "multilabel"
    ranks = True

    def choices(self, raw: Numbers) -> NDArray[np.int64]:
        return (raw > 0).astype(np.int64)

    def decided(self, outputs: Numbers) -> NDArray[np.int64]:
        return (outputs > 0.5).astype(np.int64)

    def clearness(self, raw: Numbers) -> NDArray[np.float64]:
        """As if yes had these log-odds, and no their opposite."""
        apart: NDArray[np.float64] = 2 * np.abs(raw.astype(float))
        return apart

    def probabilities(self, logits: Numbers) -> NDArray[np.float64]:
        odds: NDArray[np.float64] = np.exp(-np.logaddexp(0, -logits.astype(float)))
        return odds

    def log_likelihood(self, logits: Numbers, targets: Numbers) -> float:
        return -float(np.logaddexp(0, np.where(targets > 0, -1, 1) * logits.astype(float)).sum())

    def decisions(self, probabilities: Numbers, targets: Numbers) -> tuple[Numbers, Numbers]:
        said = probabilities > 0.5
        return np.maximum(probabilities, 1 - probabilities).ravel(), (said == (targets > 0)).ravel()

    def measure(self, answers: Numbers, targets: Numbers, names: Sequence[str]) -> Measured:
        """An image is right that got all of its labels and no other."""
        said, meant = answers > 0.5, targets > 0
        each = np.concatenate([said & meant, said, meant], axis=1).astype(float)  # [N, 3 K]
        drawn = Bootstrap(each)
        others = (
            drawn.estimate("micro-F1", lambda sums: f1(np.stack([one.sum(-1) for one in thirds(sums)], axis=-1))),
            drawn.estimate("macro-F1", lambda sums: f1_of_each(sums).mean(axis=-1)),
        )
        found, told, there = thirds(drawn.seen)
        rows = zip(
            found / np.maximum(told, 1),
            found / np.maximum(there, 1),
            f1_of_each(drawn.seen),
            [average_precision(answers[:, i], meant[:, i]) for i in range(len(names))],
            there,
            strict=True,
        )
        return Measured(
            wilson(int((said == meant).all(axis=1).sum()), len(targets)),
            others,
            ("precision", "recall", "F1", "AP", "images"),
            tuple((name, tuple(float(number) for number in row)) for name, row in zip(names, rows, strict=True)),
        )

    def payload(self, row: Mapping[str, Numbers], names: Sequence[str], top_k: int) -> Payload:
        return {"labels": ranked(row["probabilities"], names, top_k)}

    def text(self, payload: Payload) -> str:
        return in_words(payload["labels"])


def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of [..., 3]: found rightly, said, meant; 0 where a label was neither said nor meant."""
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def f1_of_each(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of [..., 3 K] → [..., K]."""
    return f1(np.stack(thirds(sums), axis=-1))


def thirds(sums: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return np.split(sums, 3, axis=-1)


def average_precision(scores: Numbers, meant: NDArray[np.bool_]) -> float:
    """The mean, over the images that have the label, of the share of them among those with as high a score.

    Images of one score come together, so no order among them is made up.
    """
    if not meant.any():
        return 0.0
    levels, place = np.unique(-scores, return_inverse=True)
    there = np.bincount(place, meant, len(levels))
    seen = np.cumsum(np.bincount(place, minlength=len(levels)))
    return float((np.cumsum(there) / seen * there).sum() / meant.sum())
