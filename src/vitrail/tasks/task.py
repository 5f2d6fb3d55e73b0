"""What every task defines: the outputs of its model files, their payload, and the evaluation of predictions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.tasks.intervals import Estimate, Share

# One label per image; several, or none; numbers; a label for each cell of a grid; numbers for each; labels in their
# order; boxes with labels.
TaskName = Literal["classification", "multilabel", "regression", "dense", "dense-regression", "sequence", "detection"]
Array = NDArray[Any]
Payload = dict[str, Any]  # the prediction for one image, as JSON

TOP_K = 5


@dataclass(frozen=True)
class Evaluation:
    """Predictions against targets: accuracy, other metrics, and a row for each class or value."""

    accuracy: Share | None = None  # none where predictions are not correct or wrong, but near or far
    others: tuple[Estimate, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[float, ...]], ...] = ()
    counted: str = "images"  # what the accuracy is a share of

    def metrics(self) -> dict[str, float]:
        shares = {"test_accuracy": self.accuracy.value} if self.accuracy else {}
        return shares | {f"test_{one.name}": one.value for one in self.others}

    def table(self) -> str:
        """As `vitrail test` prints it, 95 % intervals in brackets."""
        width = max(
            len(name) for name in ("accuracy", *(one.name for one in self.others), *(name for name, _ in self.rows))
        )
        share = self.accuracy
        lines = [f"{'accuracy':<{width}}  {share}   {share.hits} of {share.total} {self.counted}"] if share else []
        lines += [f"{one.name:<{width}}  {one}" for one in self.others]
        if not self.rows:
            return "\n".join(lines)
        columns = f"{'':<{width}}  " + "  ".join(f"{column:>9}" for column in self.columns)
        rows = [f"{name:<{width}}  " + "  ".join(f"{number:9.4g}" for number in row) for name, row in self.rows]
        return "\n".join([*lines, "", columns, *rows])


class Task(ABC):
    """`predictions` are the first output of a model file, [N, …]; targets are as the data define them."""

    name: ClassVar[TaskName]
    description: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]  # of a model file, in this order
    raw: ClassVar[str]  # the network's own output, by which model file and network are compared
    heads: ClassVar[tuple[str, ...]] = ("linear",)  # of `vitrail.models.heads`
    counted: ClassVar[str] = "images"  # what the accuracy is a share of
    single_label: ClassVar[bool] = False  # whether each image has exactly one label
    ranks: ClassVar[bool] = False  # whether a prediction is a ranked list of labels, of which `top_k` are returned
    has_units: ClassVar[bool] = False  # whether predictions are in the units of the data
    keeps_places: ClassVar[bool] = False  # whether targets are places of the image, which may not be moved
    is_ordered: ClassVar[bool] = False  # whether targets are read from left to right
    per_cell: ClassVar[bool] = False  # whether targets are maps, with a prediction for each cell of the grid

    def default_top_k(self, classes: int) -> int:
        return classes

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        """What `raw` decides about each image, [N, decisions]; empty where nothing is decided."""
        return np.zeros((len(raw), 0), np.int64)

    def decided(self, predictions: Array) -> NDArray[np.int64]:
        """The same decisions, from the first output."""
        return self.decisions(predictions)

    def margins(self, raw: Array) -> NDArray[np.float64]:
        """The difference of the two logits behind each decision, [N, decisions]."""
        return np.zeros((len(raw), 0))

    def differences(self, expected: Array, actual: Array) -> NDArray[np.float64]:
        """How far two computations of `raw` are apart, number by number."""
        difference: NDArray[np.float64] = np.abs(expected - actual)
        return difference

    def golden(self, raw: Array) -> Array:
        """The numbers of each golden image that a card stores, [N, numbers]."""
        return raw.reshape(len(raw), -1)

    @abstractmethod
    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """All metrics of predictions for images whose targets are known."""

    @abstractmethod
    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        """The prediction for one image, from its row of each output, for programs."""

    @abstractmethod
    def text(self, payload: Payload) -> str:
        """The same for people, in one line."""


class ProbabilityTask(Task):
    """Predictions are probabilities, which follow from logits and one temperature."""

    outputs = ("probabilities", "logits", "embedding")
    raw = "logits"

    @abstractmethod
    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        """Of logits that have been divided by the temperature."""

    @abstractmethod
    def log_likelihood(self, logits: Array, targets: Array) -> float:
        """Summed over all targets, of logits that have been divided by the temperature."""

    @abstractmethod
    def confidences(self, probabilities: Array, targets: Array) -> tuple[Array, Array]:
        """The probability of each decision, and whether it was correct; both [decisions]."""


class LabelTask(ProbabilityTask):
    """Predictions are probabilities of an image's labels, [N, K]."""

    ranks = True

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        return {"labels": ranked(row["probabilities"], names, top_k)}

    def text(self, payload: Payload) -> str:
        return ", ".join(f"{one['label']} {one['probability']:.3f}" for one in payload["labels"])


def ranked(probabilities: NDArray[np.float32], names: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    """One row of probabilities [K] as its `top_k` labels, the most probable first."""
    count = len(names)
    if not 1 <= top_k <= count:
        raise UsageError(f"top_k must lie between 1 and {count}, the number of classes; it is {top_k}")
    numbers = probabilities.tolist()  # numpy would release the interpreter lock to sort a handful of numbers
    order = nlargest(top_k, range(count), key=numbers.__getitem__)
    return [{"label": names[i], "index": i, "probability": numbers[i]} for i in order]


def evenly_spaced(rows: Array, most: int) -> Array:
    """At most so many of the rows [N, R, …], from the first to the last."""
    count = rows.shape[1]
    return rows if count <= most else rows[:, np.linspace(0, count - 1, most).round().astype(int)]


def softmax(logits: Array) -> NDArray[np.float64]:
    """exp(logits) as shares of their sum, along the last axis."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: Array) -> NDArray[np.float64]:
    below = logits.astype(float) - logits.max(axis=-1, keepdims=True)
    shares: NDArray[np.float64] = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return shares


def margin(logits: Array) -> NDArray[np.float64]:
    """The best logit minus the second best, along the last axis."""
    best = np.sort(logits.astype(float), axis=-1)
    difference: NDArray[np.float64] = best[..., -1] - best[..., -2]
    return difference
