"""Numbers of each cell of an image's grid: how far, how dense, how high."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vitrail.tasks.dense.predictions import golden_cells
from vitrail.tasks.regression.predictions import Regression, errors_of
from vitrail.tasks.task import Array, Evaluation, Payload


class DenseRegression(Regression):
    """Values [N, h, w, K] in the units of the data; targets [N, K, size, size] are maps with those of each pixel."""

    name = "dense-regression"
    description = "values for each cell"
    per_cell = True

    def golden(self, raw: Array) -> Array:
        return golden_cells(raw)

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """Over known cells."""
        expected = cell_values(targets, predictions.shape[1:3])
        ones = (errors_of(name, predictions[..., i], expected[..., i]) for i, name in enumerate(names))
        return Evaluation(others=tuple(estimate for one in ones for estimate in one))

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        """A map of each value, row by row."""
        maps = np.moveaxis(row["values"], -1, 0).tolist()
        return {"maps": [{"name": name, "values": each} for name, each in zip(names, maps, strict=True)]}

    def text(self, payload: Payload) -> str:
        """The mean of each map, and its least and largest value."""
        return ", ".join(f"{each['name']} {spread(np.array(each['values']))}" for each in payload["maps"])


def spread(values: Array) -> str:
    return f"{values.mean():.4g} ({values.min():.4g} to {values.max():.4g})"


def cell_values(maps: Any, grid: tuple[int, int], where: Callable[..., Any] = np.where) -> Any:
    """Maps [N, K, size, size] → [N, h, w, K]: the mean of a cell's known pixels, NaN where half of them are unknown.

    For arrays, and for tensors with `where` of torch.
    """
    (count, values, size, _), (rows, columns) = maps.shape, grid
    cells = maps.reshape(count, values, rows, size // rows, columns, size // columns).swapaxes(3, 4)
    pixels = cells.reshape(count, values, rows, columns, -1)
    known = pixels == pixels  # NaN is not
    number = known.sum(-1)
    means = where(known, pixels, 0.0).sum(-1) / where(2 * number > pixels.shape[-1], number, float("nan"))
    return means.swapaxes(1, 2).swapaxes(2, 3)
