"""Numbers of an image: how many, how large, how far."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Bootstrap, Estimate
from vitrail.tasks.task import Array, Evaluation, Payload, Task, TaskName


class Regression(Task):
    """Values [N, K] in the units of the data, as are the targets."""

    name: ClassVar[TaskName] = "regression"
    description = "values of an image"
    outputs = ("values", "embedding")
    raw = "values"
    has_units = True

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        estimates = (errors_of(name, predictions[:, i], targets[:, i]) for i, name in enumerate(names))
        return Evaluation(others=tuple(one for ones in estimates for one in ones))

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        numbers = row["values"].tolist()
        return {"values": [{"name": name, "value": number} for name, number in zip(names, numbers, strict=True)]}

    def text(self, payload: Payload) -> str:
        return ", ".join(f"{one['name']} {one['value']:.4g}" for one in payload["values"])


def errors_of(name: str, predicted: Array, targets: Array) -> tuple[Estimate, Estimate, Estimate]:
    """MAE, RMSE and R² of one value, [N, …], of which NaN is unknown; the bootstrap resamples images."""
    target = targets.astype(float) - np.nanmean(targets.astype(float))  # small numbers: sums of squares lose no digits
    error = predicted.astype(float) - targets
    terms = np.stack([np.ones_like(error), np.abs(error), error**2, target, target**2], axis=1)
    known = ~np.isnan(error)[:, None]
    bootstrap = Bootstrap(np.where(known, terms, 0.0).reshape(len(terms), 5, -1).sum(axis=-1))
    return (
        bootstrap.estimate(f"MAE of {name}", lambda sums: sums[..., 1] / np.maximum(sums[..., 0], 1)),
        bootstrap.estimate(f"RMSE of {name}", lambda sums: np.sqrt(sums[..., 2] / np.maximum(sums[..., 0], 1))),
        bootstrap.estimate(f"R² of {name}", r_squared),
    )


def r_squared(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of [..., 5]: the number of values, |errors|, squared errors, targets, squared targets."""
    spread = sums[..., 4] - sums[..., 3] ** 2 / np.maximum(sums[..., 0], 1)
    return 1 - sums[..., 2] / np.maximum(spread, np.finfo(float).tiny)
