"""What of each test image is compared: whether it is right, the share of it that is, or how far a value is off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.dense.predictions import IGNORED, classes_at
from vitrail.tasks.dense_regression.predictions import cell_values
from vitrail.tasks.detection.predictions import are_exact
from vitrail.tasks.sequence.predictions import sequences_of
from vitrail.training.comparison.saved import Saved

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A number for each image, [N]."""

    values: Floats  # NaN where an image has nothing to compare
    measure: str
    is_error: bool = False  # whether less is better

    @property
    def is_binary(self) -> bool:
        return self.measure == ACCURACY


ACCURACY = "accuracy"


def outcomes_of(saved: Saved) -> Outcomes:
    """By the task: an image is right as in the accuracy of `vitrail test`."""
    predictions, labels, task = saved.predictions, saved.labels, saved.task
    match task.name:
        case "classification":
            return right(predictions.argmax(axis=1) == labels)
        case "multilabel":
            return right(((predictions > 0.5) == (labels > 0)).all(axis=1))
        case "detection":
            return right(are_exact(task.decided(predictions), predictions[..., :4], labels))
        case "sequence":
            pairs = zip(sequences_of(task.decided(predictions)), sequences_of(labels), strict=True)
            return right(np.array([one == other for one, other in pairs]))
        case "dense":
            classes = classes_at(labels, predictions)
            known = classes != IGNORED
            hits = (known & (predictions.argmax(axis=-1) == classes)).sum(axis=(1, 2))
            return Outcomes(quotients(hits, known.sum(axis=(1, 2))), "share of correct cells")
        case "dense-regression":
            return errors(predictions, cell_values(labels, predictions.shape[1:3]))
        case "regression":
            return errors(predictions, labels)


def right(correct: NDArray[np.bool_]) -> Outcomes:
    return Outcomes(correct.astype(float), ACCURACY)


def errors(predictions: NDArray[np.float32], targets: NDArray[np.float32]) -> Outcomes:
    """The mean absolute error of each image; several values each in units of its deviation over the images."""
    off = np.abs(predictions.astype(float) - targets)
    if targets.shape[-1] > 1:
        off = off / np.nanstd(targets.astype(float), axis=tuple(range(targets.ndim - 1)))
    known = ~np.isnan(off)
    axes = tuple(range(1, off.ndim))
    unit = ", in deviations" if targets.shape[-1] > 1 else ""
    means = quotients(np.where(known, off, 0.0).sum(axis=axes), known.sum(axis=axes))
    return Outcomes(means, f"mean absolute error{unit}", is_error=True)


def quotients(sums: NDArray[np.generic], counts: NDArray[np.int64]) -> Floats:
    """NaN where nothing is known."""
    shares: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return shares
