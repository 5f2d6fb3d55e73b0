"""What `vitrail test` prints of a classifier: top-1 and top-k accuracy, macro-F1, and a row for each class."""

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
    classes: tuple[ClassScores, ...]

    def metrics(self) -> dict[str, float]:
        return {"test_top1": self.top1.value, f"test_top{self.top_k}": self.top5.value, "test_macro_f1": self.macro_f1}

    def table(self) -> str:
        """As `vitrail test` prints it, 95 % intervals in brackets."""
        width = max(5, *(len(row.label) for row in self.classes))
        f1 = f"{self.macro_f1:.4f} [{self.macro_f1_low:.4f}, {self.macro_f1_high:.4f}]"
        head = [
            f"top-1     {self.top1}   {self.top1.hits} of {self.top1.total} images",
            f"top-{self.top_k}     {self.top5}",
            f"macro-F1  {f1}",
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
    return ClassificationReport(
        top1=wilson(int(correct[:, 0].sum()), len(labels)),
        top5=wilson(int(correct[:, :top_k].sum()), len(labels)),
        top_k=top_k,
        macro_f1=float(f1.mean()),
        macro_f1_low=low,
        macro_f1_high=high,
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


def macro_f1_interval(confusion: NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % bootstrap interval: resampling images is resampling the cells of the confusion matrix."""
    count = int(confusion.sum())
    draws = np.random.default_rng(0).multinomial(count, confusion.ravel() / count, DRAWS)
    f1 = per_class(draws.reshape(-1, *confusion.shape))[2].mean(axis=-1)
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)
