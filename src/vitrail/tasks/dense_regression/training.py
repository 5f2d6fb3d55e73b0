"""Values of each cell: Huber's loss on standardised values, over the cells whose value is known."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitrail.errors import DataError
from vitrail.tasks import DenseRegression
from vitrail.tasks.dense_regression.predictions import cell_values
from vitrail.tasks.regression.training import RegressionTraining
from vitrail.tasks.training_task import Pixels


class DenseRegressionTraining(RegressionTraining):
    """Targets [B, K, size, size] are maps; the network's grid decides which pixels a cell covers."""

    task = DenseRegression()

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        head = net.get_classifier()
        for number, maps in enumerate(np.moveaxis(targets, 1, 0)):
            known = ~np.isnan(maps)
            if not known.any():
                raise DataError(f"no training image has a known pixel in its map {number + 1}")
            head.mean[number] = float(maps.mean(dtype=float, where=known))
            head.deviation[number] = max(float(maps.std(dtype=float, where=known)), 1e-12)

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        """Of each image, so that every known cell of the batch counts the same; zero, and not NaN, if there is none."""
        predicted, expected, known = self.standardised(net, net(pixels), target)
        cells = F.huber_loss(predicted, expected, reduction="none") * known
        return cells.flatten(1).sum(dim=1) * (len(cells) / known.sum().clamp(min=1))

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss, and the mean absolute error in standard deviations."""
        predicted, expected, known = self.standardised(net, outputs, target)
        count = known.sum().clamp(min=1)
        loss = (F.huber_loss(predicted, expected, reduction="none") * known).sum() / count
        return {"val_loss": loss, "val_error": ((predicted - expected).abs() * known).sum() / count}

    def standardised(self, net: Any, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted and expected values of all cells [B, h, w, K], and which of them are known."""
        standard = net.get_classifier().standard
        values = cell_values(target, (outputs.shape[1], outputs.shape[2]), torch.where)
        return standard(outputs), standard(values).nan_to_num(), ~values.isnan()

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return [column for name in names for column in (f"known {name}", f"MAE of {name}")]

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        """The number of known cells and their mean absolute error, of each value."""
        values = cell_values(target[None], (prediction.shape[0], prediction.shape[1]))[0]
        errors = np.abs(prediction.numpy() - values).reshape(-1, len(names)).T
        known = ~np.isnan(errors)
        pairs = (
            (each.sum(), error[each].mean() if each.any() else None) for error, each in zip(errors, known, strict=True)
        )
        return [cell for count, mean in pairs for cell in (int(count), "" if mean is None else f"{float(mean):.6g}")]
