"""A label for each cell of an image's grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Bootstrap, Share
from vitrail.tasks.task import Array, Evaluation, Payload, ProbabilityTask, evenly_spaced, log_softmax, margin, softmax

IGNORED = 255  # in a map: a pixel without a class
GOLDEN_CELLS = 16  # in the card, of a larger grid


class Dense(ProbabilityTask):
    """Logits [N, h, w, K]; targets [N, size, size] are maps with the class of each pixel of the canvas."""

    name = "dense"
    description = "a label for each cell"
    counted = "cells"
    per_cell = True

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        best: NDArray[np.int64] = raw.argmax(axis=-1).reshape(len(raw), -1)
        return best

    def margins(self, raw: Array) -> NDArray[np.float64]:
        return margin(raw).reshape(len(raw), -1)

    def golden(self, raw: Array) -> Array:
        return golden_cells(raw)

    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        return softmax(logits)

    def log_likelihood(self, logits: Array, targets: Array) -> float:
        classes, known = known_cells(logits, targets)
        return float(np.take_along_axis(log_softmax(logits)[known], classes[:, None], axis=1).sum())

    def confidences(self, probabilities: Array, targets: Array) -> tuple[Array, Array]:
        classes, known = known_cells(probabilities, targets)
        cells = probabilities[known]
        return cells.max(axis=1), cells.argmax(axis=1) == classes

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        classes, best = classes_at(targets, predictions), predictions.argmax(axis=-1)
        numbers = np.arange(len(names))
        target = classes[..., None] == numbers  # [N, h, w, K]
        predicted = (best[..., None] == numbers) & (classes != IGNORED)[..., None]
        both, either, total = (
            one.sum(axis=(1, 2)).astype(float) for one in (target & predicted, target | predicted, target)
        )
        bootstrap = Bootstrap(np.concatenate([both, either], axis=1))  # [N, 2 K]
        columns = (iou(bootstrap.seen), both.sum(axis=0) / np.maximum(total.sum(axis=0), 1), total.sum(axis=0))
        rows = tuple((name, tuple(float(one[i]) for one in columns)) for i, name in enumerate(names))
        others = (bootstrap.estimate("mean IoU", mean_iou),)
        return Evaluation(cell_accuracy(classes, best), others, ("IoU", "recall", "cells"), rows, self.counted)

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        """The best label of each cell and its probability, row by row."""
        best = row["probabilities"].argmax(axis=-1)  # [h, w]
        labels = [[names[i] for i in across] for across in best.tolist()]
        return {"grid": {"labels": labels, "probabilities": row["probabilities"].max(axis=-1).tolist()}}

    def text(self, payload: Payload) -> str:
        """The share of the image that each label covers."""
        labels = [label for across in payload["grid"]["labels"] for label in across]
        order = sorted(set(labels), key=lambda label: (-labels.count(label), label))
        return ", ".join(f"{label} {100 * labels.count(label) / len(labels):.0f} %" for label in order)


def golden_cells(raw: Array) -> Array:
    """All cells [N, h, w, …] of a small grid, evenly spaced ones of a larger."""
    cells = raw.reshape(len(raw), -1, raw.shape[-1])
    return evenly_spaced(cells, GOLDEN_CELLS).reshape(len(raw), -1)


def cell_classes(maps: Any, grid: tuple[int, int], classes: int) -> Any:
    """Maps [N, size, size] → [N, h, w]: the class of more than half of a cell's pixels, IGNORED where there is none.

    For arrays and tensors alike: only what both share is used.
    """
    (count, size, _), (rows, columns) = maps.shape, grid
    cells = maps.reshape(count, rows, size // rows, columns, size // columns).swapaxes(2, 3)
    pixels = cells.reshape(count, rows, columns, -1)
    most = (2 * (pixels == number).sum(-1) > pixels.shape[-1] for number in range(classes))
    return sum((number - IGNORED) * won for number, won in enumerate(most)) + IGNORED


def classes_at(maps: Array, predictions: Array) -> NDArray[np.int64]:
    """The true classes [N, h, w] for predictions [N, h, w, K]."""
    classes: NDArray[np.int64] = cell_classes(maps, predictions.shape[1:3], predictions.shape[3])
    return classes


def known_cells(predictions: Array, maps: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The classes [M] of the M cells that have one, and which [N, h, w] these are."""
    classes = classes_at(maps, predictions)
    return classes[classes != IGNORED], classes != IGNORED


def cell_accuracy(classes: NDArray[np.int64], predicted: NDArray[np.int64]) -> Share:
    """Over known cells; the bootstrap resamples images, since the cells of one image are not independent."""
    known, correct = (one.sum(axis=(1, 2)) for one in (classes != IGNORED, predicted == classes))
    estimate = Bootstrap(np.stack([correct, known], axis=1).astype(float)).estimate("accuracy", share)
    return Share(int(correct.sum()), int(known.sum()), estimate.value, estimate.low, estimate.high)


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each class, of [..., 2 K]; 0 where a class is neither a target nor predicted."""
    both, either = np.split(sums, 2, axis=-1)
    return both / np.maximum(either, 1)


def mean_iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the classes that are a target or predicted anywhere."""
    present = (np.split(sums, 2, axis=-1)[1] > 0).sum(axis=-1)
    mean: NDArray[np.float64] = iou(sums).sum(axis=-1) / np.maximum(present, 1)
    return mean
