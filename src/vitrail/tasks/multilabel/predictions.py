"""Several labels an image, or none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Bootstrap, wilson
from vitrail.tasks.task import Array, Evaluation, LabelTask


class Multilabel(LabelTask):
    """Logits [N, K] are log-odds, each of one label; targets [N, K] are 1 where the image has it."""

    name = "multilabel"
    description = "several labels an image"
    heads = ("linear", "set")

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        return (raw > 0).astype(np.int64)

    def decided(self, predictions: Array) -> NDArray[np.int64]:
        return (predictions > 0.5).astype(np.int64)

    def margins(self, raw: Array) -> NDArray[np.float64]:
        """Log-odds are the logit of yes; that of no is their negative."""
        margins: NDArray[np.float64] = 2 * np.abs(raw.astype(float))
        return margins

    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        sigmoid: NDArray[np.float64] = np.exp(-np.logaddexp(0, -logits.astype(float)))
        return sigmoid

    def log_likelihood(self, logits: Array, targets: Array) -> float:
        return -float(np.logaddexp(0, np.where(targets > 0, -1, 1) * logits.astype(float)).sum())

    def confidences(self, probabilities: Array, targets: Array) -> tuple[Array, Array]:
        predicted = probabilities > 0.5
        return np.maximum(probabilities, 1 - probabilities).ravel(), (predicted == (targets > 0)).ravel()

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """An image is correct if all of its labels are predicted and no other."""
        predicted, target = predictions > 0.5, targets > 0
        each = np.concatenate([predicted & target, predicted, target], axis=1).astype(float)  # [N, 3 K]
        bootstrap = Bootstrap(each)
        others = (
            bootstrap.estimate("micro-F1", lambda sums: f1(np.stack([one.sum(-1) for one in thirds(sums)], axis=-1))),
            bootstrap.estimate("macro-F1", lambda sums: f1_of_each(sums).mean(axis=-1)),
        )
        hits, positives, images = thirds(bootstrap.seen)
        rows = zip(
            hits / np.maximum(positives, 1),
            hits / np.maximum(images, 1),
            f1_of_each(bootstrap.seen),
            [average_precision(predictions[:, i], target[:, i]) for i in range(len(names))],
            images,
            strict=True,
        )
        return Evaluation(
            wilson(int((predicted == target).all(axis=1).sum()), len(targets)),
            others,
            ("precision", "recall", "F1", "AP", "images"),
            tuple((name, tuple(float(number) for number in row)) for name, row in zip(names, rows, strict=True)),
        )


def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of [..., 3], true positives, predicted and target; 0 where a label is neither predicted nor a target."""
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def f1_of_each(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of [..., 3 K] → [..., K]."""
    return f1(np.stack(thirds(sums), axis=-1))


def thirds(sums: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return np.split(sums, 3, axis=-1)


def average_precision(scores: Array, target: NDArray[np.bool_]) -> float:
    """The mean, over the images that have the label, of the share of them among those with as high a score.

    Images of equal score are counted together, so no order among them is made up.
    """
    if not target.any():
        return 0.0
    levels, level = np.unique(-scores, return_inverse=True)
    hits = np.bincount(level, target, len(levels))
    images = np.cumsum(np.bincount(level, minlength=len(levels)))
    return float((np.cumsum(hits) / images * hits).sum() / target.sum())
