"""Numbers of an image: how many, how large, how far."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.bootstrap import Bootstrap
from vitrail.tasks.intervals import Estimate
from vitrail.tasks.task import Measured, Numbers, Payload, Task


class Regression(Task):
    """Values [N, K] in the units of the data, as are the targets."""

    name = "regression"
    outputs = ("values", "embedding")
    raw = "values"

    def measure(self, answers: Numbers, targets: Numbers, names: Sequence[str]) -> Measured:
        found = (errors_of(name, answers[:, i], targets[:, i]) for i, name in enumerate(names))
        return Measured(others=tuple(one for ones in found for one in ones))

    def payload(self, row: Mapping[str, Numbers], names: Sequence[str], top_k: int) -> Payload:
        numbers = row["values"].tolist()
        return {"values": [{"name": name, "value": number} for name, number in zip(names, numbers, strict=True)]}

    def text(self, payload: Payload) -> str:
        return ", ".join(f"{one['name']} {one['value']:.4g}" for one in payload["values"])


def errors_of(name: str, found: Numbers, targets: Numbers) -> tuple[Estimate, Estimate, Estimate]:
    """How far one value is off, and which share of its variance is explained."""
    target = targets.astype(float) - targets.astype(float).mean()  # small numbers: sums of squares lose no digits
    error = found.astype(float) - targets
    drawn = Bootstrap(np.stack([np.ones_like(error), np.abs(error), error**2, target, target**2], axis=1))
    return (
        drawn.estimate(f"MAE of {name}", lambda sums: sums[..., 1] / sums[..., 0]),
        drawn.estimate(f"RMSE of {name}", lambda sums: np.sqrt(sums[..., 2] / sums[..., 0])),
        drawn.estimate(f"R² of {name}", explained),
    )


def explained(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """R² of [..., 5]: how many, |errors|, squared errors, targets, squared targets."""
    spread = sums[..., 4] - sums[..., 3] ** 2 / sums[..., 0]
    return 1 - sums[..., 2] / np.maximum(spread, np.finfo(float).tiny)
