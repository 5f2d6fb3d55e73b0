"""What every task says: what its files answer, how that is told, and how answers are judged."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Estimate, Share

# One label an image; several, or none; numbers; a label for each place of a grid.
TaskName = Literal["classification", "multilabel", "regression", "dense"]
Numbers = NDArray[Any]
Payload = dict[str, Any]  # the answer to one image, as JSON has it


@dataclass(frozen=True)
class Measured:
    """How good answers are: the share of right ones, other numbers, and a row for each class or value."""

    accuracy: Share | None = None  # none where an answer is not right or wrong, but near or far
    others: tuple[Estimate, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[float, ...]], ...] = ()
    counted: str = "images"  # what the accuracy is a share of

    def figures(self) -> dict[str, float]:
        shares = {"test_accuracy": self.accuracy.value} if self.accuracy else {}
        return shares | {f"test_{one.name}": one.value for one in self.others}

    def table(self) -> str:
        """As `vitrail test` prints it, 95 % intervals in brackets."""
        width = max(
            len(name) for name in ("accuracy", *(one.name for one in self.others), *(name for name, _ in self.rows))
        )
        right = self.accuracy
        lines = [f"{'accuracy':<{width}}  {right}   {right.hits} of {right.total} {self.counted}"] if right else []
        lines += [f"{one.name:<{width}}  {one}" for one in self.others]
        if not self.rows:
            return "\n".join(lines)
        columns = f"{'':<{width}}  " + "  ".join(f"{column:>9}" for column in self.columns)
        rows = [f"{name:<{width}}  " + "  ".join(f"{number:9.4g}" for number in row) for name, row in self.rows]
        return "\n".join([*lines, "", columns, *rows])


class Task(ABC):
    """`answers` are what a file's first output holds for each image; targets are as the data give them."""

    name: ClassVar[TaskName]
    outputs: ClassVar[tuple[str, ...]]  # of a model file, in this order
    raw: ClassVar[str]  # the output that is the network's own, by which file and network are compared
    ranks: ClassVar[bool] = False  # whether an answer is a list of labels, of which so many may be asked for

    def choices(self, raw: Numbers) -> NDArray[np.int64]:
        """What is decided about each image, [N, decisions], by `raw`; there may be nothing to decide."""
        return np.zeros((len(raw), 0), np.int64)

    def decided(self, outputs: Numbers) -> NDArray[np.int64]:
        """The same decisions, read from answers."""
        return self.choices(outputs)

    def clearness(self, raw: Numbers) -> NDArray[np.float64]:
        """How far apart the two logits lie between which it was decided, [N, decisions]."""
        return np.zeros((len(raw), 0))

    def golden(self, raw: Numbers) -> Numbers:
        """Those numbers of each answer that a card keeps of golden images, [N, numbers]."""
        return raw.reshape(len(raw), -1)

    @abstractmethod
    def measure(self, answers: Numbers, targets: Numbers, names: Sequence[str]) -> Measured:
        """Everything worth knowing about answers to images whose targets are known."""

    @abstractmethod
    def payload(self, row: Mapping[str, Numbers], names: Sequence[str], top_k: int) -> Payload:
        """The answer to one image, from its row of each output, for programs."""

    @abstractmethod
    def text(self, payload: Payload) -> str:
        """The same for people, in one line."""


class ProbabilityTask(Task):
    """Answers are probabilities, which follow from logits and one temperature."""

    outputs = ("probabilities", "logits", "embedding")
    raw = "logits"

    @abstractmethod
    def probabilities(self, logits: Numbers) -> NDArray[np.float64]:
        """Of logits that have been divided by the temperature."""

    @abstractmethod
    def log_likelihood(self, logits: Numbers, targets: Numbers) -> float:
        """Of all targets together, of logits that have been divided by the temperature."""

    @abstractmethod
    def decisions(self, probabilities: Numbers, targets: Numbers) -> tuple[Numbers, Numbers]:
        """How probable each thing that was decided seemed, and whether it was right; both [decisions]."""


def softmax(logits: Numbers) -> NDArray[np.float64]:
    """exp(logits) as shares of their sum, along the last axis."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: Numbers) -> NDArray[np.float64]:
    below = logits.astype(float) - logits.max(axis=-1, keepdims=True)
    shares: NDArray[np.float64] = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return shares


def margin(logits: Numbers) -> NDArray[np.float64]:
    """How far the best logit is from the second, along the last axis."""
    best = np.sort(logits.astype(float), axis=-1)
    apart: NDArray[np.float64] = best[..., -1] - best[..., -2]
    return apart
