"""What `vitrail test` prints of a classifier: accuracy, top-k and balanced too, macro-F1, and a row for each class."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from vitrail.tasks.intervals import Share, wilson

DRAWS = 2000


@dataclass(frozen=True)
class ClassScores:
    label: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class ClassificationReport:
    top1: Share
    top5: Share
    top_k: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    balanced: float  # accuracy
    balanced_low: float
    balanced_high: float
    classes: tuple[ClassScores, ...]

    def metrics(self) -> dict[str, float]:
        return {
            "test_top1": self.top1.value,
            f"test_top{self.top_k}": self.top5.value,
            "test_macro_f1": self.macro_f1,
            "test_balanced_accuracy": self.balanced,
        }

    def table(self) -> str:
        """As `vitrail test` prints it, 95 % intervals in brackets."""
        width = max(5, *(len(row.label) for row in self.classes))
        f1 = f"{self.macro_f1:.4f} [{self.macro_f1_low:.4f}, {self.macro_f1_high:.4f}]"
        balanced = f"{self.balanced:.4f} [{self.balanced_low:.4f}, {self.balanced_high:.4f}]"
        head = [
            f"top-1     {self.top1}   {self.top1.hits} of {self.top1.total} images",
            f"top-{self.top_k}     {self.top5}",
            f"macro-F1  {f1}",
            f"balanced  {balanced}   accuracy in which every class counts the same",
            "",
            f"{'class':<{width}}  precision  recall      F1  images",
        ]
        rows = [
            f"{row.label:<{width}}  {row.precision:9.4f}  {row.recall:6.4f}  {row.f1:6.4f}  {row.images:8d}"
            for row in self.classes
        ]
        return "\n".join([*head, *rows])


def classification_report(probabilities: Tensor, labels: Tensor, names: tuple[str, ...]) -> ClassificationReport:
    """Of probabilities [N, K] and labels [N]; top-5 becomes top-K where K is below five."""
    top_k = min(5, len(names))
    ranked = probabilities.argsort(dim=1, descending=True, stable=True)
    correct = ranked == labels[:, None]
    confusion = multiclass_confusion_matrix(ranked[:, 0], labels, len(names)).numpy()
    precision, recall, f1 = per_class(confusion)
    low, high = macro_f1_interval(confusion)
    balanced_low, balanced_high = bootstrap_interval(confusion, balanced_accuracy)
    return ClassificationReport(
        top1=wilson(int(correct[:, 0].sum()), len(labels)),
        top5=wilson(int(correct[:, :top_k].sum()), len(labels)),
        top_k=top_k,
        macro_f1=float(f1.mean()),
        macro_f1_low=low,
        macro_f1_high=high,
        balanced=float(balanced_accuracy(confusion)),
        balanced_low=balanced_low,
        balanced_high=balanced_high,
        classes=tuple(
            ClassScores(name, float(precision[i]), float(recall[i]), float(f1[i]), int(confusion[i].sum()))
            for i, name in enumerate(names)
        ),
    )


def per_class(confusion: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of confusion [..., target, predicted]; 0 where a class is neither."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    target, predicted = confusion.sum(-1), confusion.sum(-2)
    return hits / np.maximum(predicted, 1), hits / np.maximum(target, 1), 2 * hits / np.maximum(target + predicted, 1)


def balanced_accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean recall, [...], of the classes that have images."""
    mean: NDArray[np.float64] = per_class(confusion)[1].sum(-1) / (confusion.sum(-1) > 0).sum(-1)
    return mean


def macro_f1_interval(confusion: NDArray[np.int64]) -> tuple[float, float]:
    return bootstrap_interval(confusion, lambda draws: per_class(draws)[2].mean(axis=-1))


def bootstrap_interval(
    confusion: NDArray[np.int64], measure: Callable[[NDArray[np.int64]], NDArray[np.float64]]
) -> tuple[float, float]:
    """95 %: resampling images is resampling the cells of the confusion matrix."""
    count = int(confusion.sum())
    draws = np.random.default_rng(0).multinomial(count, confusion.ravel() / count, DRAWS)
    low, high = np.quantile(measure(draws.reshape(-1, *confusion.shape)), [0.025, 0.975])
    return float(low), float(high)
