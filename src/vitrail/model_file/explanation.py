"""Explanations: the card of a model.explain.onnx, and its outputs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.model_file.typed_json import Json, read_card, schema

METADATA_KEY = "vitrail.explain"
FORMAT: Literal[1] = 1

Kind = Literal["exact", "approximate"]
Grid = tuple[int, int]  # rows, columns

RULES: dict[Kind, str] = {
    "exact": "evidence[n, k, r, c] is what cell (r, c) of image n adds to class k; "
    "its mean over all cells is logits[n, k]",
    "approximate": "evidence[n, k, r, c] is how far logits[n, k] falls when cell (r, c) of the canvas of image n "
    "is painted in the mean colour of the input rule",
}


@dataclass(frozen=True)
class Evidence:
    """How to read the output `evidence`: `exact` adds up to the logits, `approximate` is measured by occlusion."""

    kind: Kind
    grid: Annotated[Grid, "rows and columns"]
    rule: Annotated[str, "how to read a number of `evidence`"]


@dataclass(frozen=True)
class Attention:
    """What the axes of the output `attention` are: `prefix` tokens that belong to no cell, then the grid."""

    layers: int
    heads: int
    prefix: Annotated[int, "class and register tokens"]
    grid: Grid


@dataclass(frozen=True)
class ExplanationParity:
    """Largest differences from the model file and the network; null where there is nothing to compare."""

    images: int
    max_logit_error: float
    max_evidence_error: float
    max_mean_error: Annotated[float | None, "of the mean over cells from the logit; null if approximate"]
    max_attention_error: Annotated[float | None, "null for models without attention"]


@dataclass(frozen=True)
class ExplanationCard:
    """Everything a caller of `model.explain.onnx` must know, kept inside the file as JSON."""

    model_sha256: Annotated[str, "of the model file that it explains"]
    evidence: Evidence
    attention: Annotated[Attention | None, "null for models without attention"]
    parity: ExplanationParity
    format: Literal[1] = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ExplanationCard":
        """Read a card back; a card of another format or with missing members is refused."""
        return read_card(cls, text, "the explanation's card")


def explanation_card_schema() -> Json:
    """The JSON Schema that docs/explanation-card-1.schema.json publishes."""
    return schema(ExplanationCard, f"Card of a vitrail explain file, format {FORMAT}")


@dataclass(frozen=True)
class Explanation:
    """Where in one image the evidence for one label lies: `evidence` is float [h, w] over the canvas.

    Examples:
        >>> explanation = vitrail.Explanation("cat", "exact", np.array([[0.5, -1.0], [0.25, 4.0]]))
        >>> print(explanation)
        cat: exact evidence on 2 × 2 cells, most at [1, 1]
    """

    label: str
    kind: Kind
    evidence: NDArray[np.float32]

    def __str__(self) -> str:
        rows, columns = self.evidence.shape
        row, column = divmod(int(self.evidence.argmax()), columns)
        return f"{self.label}: {self.kind} evidence on {rows} × {columns} cells, most at [{row}, {column}]"


@dataclass(frozen=True)
class Internals:
    """The outputs of the explain graph for a batch; attention where the card has its axes."""

    evidence: NDArray[np.float32]  # [N, K, h, w]
    attention: NDArray[np.float32] | None  # [N, layers, heads, T, T]


def explain_path(model: str | Path) -> Path:
    """Where the explanations of a model file are kept: beside it, model.onnx → model.explain.onnx."""
    path = Path(model)
    return path.with_name(f"{path.stem}.explain{path.suffix}")
