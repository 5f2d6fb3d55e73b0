"""The training half of every task: loss, validation metrics, and what is saved of predictions for test images."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.source import Targets
from vitrail.errors import UsageError
from vitrail.tasks import Task
from vitrail.vectors.sets import VectorSet

# How classes of few training images get their share: of the loss, of the draws, or of the logits in the loss.
Balance = Literal["none", "weights", "sampler", "logit_adjust"]


Pixels = Tensor | VectorSet  # of canvases [B, 3, H, W], or patches of images at their own shapes


class Report(Protocol):
    """The results of `vitrail test`."""

    def metrics(self) -> dict[str, float]: ...

    def table(self) -> str:
        """For people, as `vitrail test` prints it."""
        ...


@dataclass(frozen=True)
class MonitoredMetric:
    """The validation metric by which the best checkpoint is chosen."""

    name: str
    mode: str  # min or max


class TrainingTask(ABC):
    """One task for a number of classes or values. `outputs` are the network's own: logits or values."""

    task: ClassVar[Task]
    monitor: ClassVar[MonitoredMetric] = MonitoredMetric("val_accuracy", "max")
    no_mixing: ClassVar[str | None] = None  # why images may not be blended, if so
    no_smoothing: ClassVar[str | None] = None  # why targets may not be smoothed, if so
    no_balance: ClassVar[str | None] = None  # why classes cannot be balanced, if so

    def __init__(
        self,
        classes: int,
        label_smoothing: float,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        balance: Balance = "none",
    ) -> None:
        self.mixing = [name for name, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha]
        if self.mixing and self.no_mixing:
            raise UsageError(f"{self.mixing[0]} blends two images, {self.no_mixing}: leave it out")
        if label_smoothing and self.no_smoothing:
            raise UsageError(f"label_smoothing spreads a target over classes, {self.no_smoothing}: leave it out")
        if balance != "none" and self.no_balance:
            raise UsageError(f"balance evens out the classes of images, {self.no_balance}: leave it out")
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.balance = balance

    def check(self, net: Any) -> None:
        """Refuse a network that cannot be trained this way."""
        return

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        """Before training: set what network and loss take from the training targets [N, …], and from weights [N]."""
        return

    def loss(self, net: Any, pixels: Pixels, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """What training minimises; `weights` [B], whose mean over all training images is 1, multiply each image's."""
        return weighted_mean(self.losses(net, pixels, target), weights)

    @abstractmethod
    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        """The loss of each image, [B]; their mean is that of the batch."""

    @abstractmethod
    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Means over this batch's images, of which `val_loss` is one."""

    @staticmethod
    @abstractmethod
    def predictions(outputs: Tensor) -> Tensor:
        """The first output of a model file, at temperature 1."""

    def report(self, predictions: Tensor, images: Targets, names: tuple[str, ...]) -> Report:
        return self.task.evaluate(predictions.numpy(), images.labels, names)

    @abstractmethod
    def columns(self, names: Sequence[str]) -> Iterable[str]:
        """Of predictions.csv, after the image's name."""

    @abstractmethod
    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        """One image's row of predictions.csv."""


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    return losses.mean() if weights is None else (losses * weights).mean()
