"""What every task says of its training: the loss, what is watched, what is kept and told of test images."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from vitrail.data import Samples
from vitrail.errors import UsageError
from vitrail.tasks import Task


class Report(Protocol):
    """What a test found."""

    def figures(self) -> dict[str, float]: ...

    def table(self) -> str:
        """For people, as `vitrail test` prints it."""
        ...


@dataclass(frozen=True)
class Watched:
    """The figure of validation by which the best checkpoint is known."""

    figure: str
    mode: str  # min or max


class TrainingTask(ABC):
    """One task, for so many classes or values. `outputs` are the network's own, logits or values."""

    task: ClassVar[Task]
    watched: ClassVar[Watched] = Watched("val_accuracy", "max")
    blends: ClassVar[str | None] = None  # why images may not be blended, if so
    smooths: ClassVar[str | None] = None  # why targets may not be smoothed, if so

    def __init__(self, classes: int, label_smoothing: float, mixup: float) -> None:
        if mixup and self.blends:
            raise UsageError(f"mixup blends two images, {self.blends}: leave it out")
        if label_smoothing and self.smooths:
            raise UsageError(f"label_smoothing spreads a target over classes, {self.smooths}: leave it out")
        self.classes = classes
        self.label_smoothing, self.mixup = label_smoothing, mixup

    def check(self, net: Any) -> None:
        """Refuse a network that cannot be taught this way."""
        return

    def prepare(self, net: Any, targets: np.ndarray) -> None:
        """Before training: what the network must know of the targets [N, …] that it will learn from."""
        return

    @abstractmethod
    def loss(self, net: Any, pixels: Tensor, target: Tensor) -> Tensor:
        """What training makes smaller."""

    @abstractmethod
    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Means over this batch's images, of which `val_loss` is one."""

    @abstractmethod
    def answers(self, outputs: Tensor) -> Tensor:
        """What is kept of a test image, as a model file would answer at temperature 1."""

    def report(self, answers: Tensor, images: Samples, names: tuple[str, ...]) -> Report:
        return self.task.measure(answers.numpy(), images.labels, names)

    @abstractmethod
    def columns(self, names: Sequence[str]) -> Iterable[str]:
        """Of predictions.csv, beside the image's name."""

    @abstractmethod
    def cells(self, answer: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        """One image's row of it."""
