"""A model as its file describes it: enough to make canvases and to read its outputs, without the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.images import fit
from vitrail.model_file.card import Card
from vitrail.runtime.openvino import OPENVINO
from vitrail.runtime.providers import PROVIDERS
from vitrail.tasks import TASKS
from vitrail.tasks.task import Task, ranked

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Label:
    """A class and its probability."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Outputs:
    """The outputs of the graph for a batch, by name: one row an image."""

    columns: Mapping[str, Table]

    @property
    def probabilities(self) -> Table:
        return self.of("probabilities")

    @property
    def logits(self) -> Table:
        return self.of("logits")

    @property
    def values(self) -> Table:
        return self.of("values")

    @property
    def embedding(self) -> Table:
        return self.of("embedding")

    def of(self, name: str) -> Table:
        if name not in self.columns:
            raise UsageError(f"this model has the outputs {', '.join(self.columns)}, and no {name}")
        return self.columns[name]

    def rows(self, begin: int, end: int) -> "Outputs":
        return Outputs({name: table[begin:end] for name, table in self.columns.items()})

    def row(self, index: int) -> dict[str, Table]:
        return {name: table[index] for name, table in self.columns.items()}

    @staticmethod
    def joined(parts: Sequence["Outputs"]) -> "Outputs":
        """Rows that came in parts, as one table."""
        if len(parts) == 1:
            return parts[0]
        return Outputs({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})


class DescribedModel:
    """The card of a model file, and what follows from it."""

    path: Path
    card: Card
    sha256: str
    provider: str  # onnxruntime's name for where the network runs
    shapes: Mapping[str, list[int | str]]  # of the outputs; a dimension that is not fixed has a name

    @property
    def task(self) -> Task:
        return TASKS[self.card.task]

    def fit(self, data: bytes) -> NDArray[np.uint8]:
        """An encoded image as this model's canvas, uint8 [size, size, 3]."""
        if self.card.input.width is not None:
            raise UsageError("this model takes sets of vectors and no images")
        return fit(data, self.card.input)

    @property
    def is_on_cpu(self) -> bool:
        return self.provider in (PROVIDERS["cpu"], *OPENVINO.values())

    @property
    def takes_canvases_only(self) -> bool:
        """TensorRT's engine is built for one height and width."""
        return self.provider == PROVIDERS["tensorrt"]

    def none_of_these(self, probabilities: NDArray[np.float32]) -> bool:
        """Whether one row of probabilities is too unsure for the card's threshold to be any of the classes."""
        if self.card.abstention is None:
            raise UsageError("this model's card has no threshold for 'none of these': it is for one label an image")
        return float(probabilities.max()) < self.card.abstention.threshold

    def labels(self, probabilities: NDArray[np.float32], top_k: int) -> list[Label]:
        """One row of probabilities as its `top_k` labels, the most probable first."""
        return [Label(**one) for one in ranked(probabilities, self.card.classes, top_k)]

    def payload(self, row: Mapping[str, Table], top_k: int | None = None) -> dict[str, Any]:
        """The result for one image as JSON types, for any task; `top_k` is for labels."""
        return self.task.payload(row, self.card.classes, self.top_k if top_k is None else top_k)

    @property
    def top_k(self) -> int:
        """The default number of labels: 5, or all of them in multilabel tasks."""
        count = len(self.card.classes)
        return self.task.default_top_k(count)
