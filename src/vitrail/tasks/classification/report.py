"""What `vitrail test` prints of a classifier: accuracy, top-k and balanced too, macro-F1, and a row for each class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
    counts = Counts.of(labels.numpy(), ranked[:, 0].numpy(), len(names))
    low, high = bootstrap_intervals(labels.numpy(), ranked[:, 0].numpy(), len(names))
    return ClassificationReport(
        top1=wilson(int(correct[:, 0].sum()), len(labels)),
        top5=wilson(int(correct[:, :top_k].sum()), len(labels)),
        top_k=top_k,
        macro_f1=counts.macro_f1,
        macro_f1_low=low[0],
        macro_f1_high=high[0],
        balanced=counts.balanced_accuracy,
        balanced_low=low[1],
        balanced_high=high[1],
        classes=tuple(
            ClassScores(name, float(precision), float(recall), float(f1), int(images))
            for name, precision, recall, f1, images in zip(
                names, counts.precision, counts.recall, counts.f1, counts.target, strict=True
            )
        ),
    )


@dataclass(frozen=True, eq=False)
class Counts:
    """Images of each class, [K]: recognised, of that target, predicted so."""

    hits: NDArray[np.float64]
    target: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @staticmethod
    def of(
        labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, times: NDArray[np.int64] | None = None
    ) -> "Counts":
        """Of labels [N] and predictions [N], each counted so many times, or once.

        No confusion matrix: 2,000 classes would make one of four million cells.
        """
        weights = np.ones(len(labels)) if times is None else times.astype(float)
        hits = weights * (labels == predicted)
        sums = [
            np.bincount(of, each, classes) for of, each in ((labels, hits), (labels, weights), (predicted, weights))
        ]
        return Counts(*(one.astype(float) for one in sums))

    @property
    def precision(self) -> NDArray[np.float64]:
        """0 where a class is never predicted."""
        return self.hits / np.maximum(self.predicted, 1)

    @property
    def recall(self) -> NDArray[np.float64]:
        """0 where a class has no image."""
        return self.hits / np.maximum(self.target, 1)

    @property
    def f1(self) -> NDArray[np.float64]:
        return 2 * self.hits / np.maximum(self.target + self.predicted, 1)

    @property
    def macro_f1(self) -> float:
        return float(self.f1.mean())

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        return float(self.recall.sum() / (self.target > 0).sum())


def bootstrap_intervals(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95 % intervals' lower and upper ends, of macro-F1 and of balanced accuracy: images are resampled."""
    random, cells, images = np.random.default_rng(0), labels * classes + predicted, len(labels)
    some, counts = np.unique(cells, return_counts=True)
    draws = (random.multinomial(images, counts / images) for _ in range(DRAWS))
    drawn = (Counts.of(some // classes, some % classes, classes, times) for times in draws)
    low, high = np.quantile([(one.macro_f1, one.balanced_accuracy) for one in drawn], [0.025, 0.975], axis=0)
    return low, high
