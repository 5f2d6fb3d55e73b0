"""Values of an image: Huber's loss on standardised values, so that no unit outweighs another."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitrail.tasks import Regression
from vitrail.tasks.training_task import MonitoredMetric, Pixels, TrainingTask


class RegressionTraining(TrainingTask):
    """Targets [B, K] are values in the units of the data."""

    task = Regression()
    monitor = MonitoredMetric("val_loss", "min")
    no_mixing = "and of a blend no value is known"
    no_smoothing = "and there are no classes here"
    no_balance = "and there are no classes here"

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        head = net.get_classifier()
        head.mean.copy_(torch.from_numpy(targets.mean(axis=0, dtype=float)))
        head.deviation.copy_(torch.from_numpy(targets.std(axis=0, dtype=float)).clamp(min=1e-12))

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        standard = net.get_classifier().standard
        return F.huber_loss(standard(net(pixels)), standard(target), reduction="none").mean(dim=1)

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss, and the mean absolute error in standard deviations."""
        standard = net.get_classifier().standard
        predicted, expected = standard(outputs), standard(target)
        return {"val_loss": F.huber_loss(predicted, expected), "val_error": (predicted - expected).abs().mean()}

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return [column for name in names for column in (name, f"{name} predicted")]

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        return [f"{float(one):.6g}" for pair in zip(target, prediction, strict=True) for one in pair]
