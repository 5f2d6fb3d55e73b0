"""Explanations: the card of a model.explain.onnx, and its outputs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ModelError

METADATA_KEY = "vitrail.explain"
FORMAT = 1

Kind = Literal["exact", "approximate"]
Grid = tuple[int, int]  # rows, columns

RULES: dict[Kind, str] = {
    "exact": "evidence[n, k, r, c] is what place (r, c) of image n says for class k; "
    "its mean over all places is logits[n, k]",
    "approximate": "evidence[n, k, r, c] is how far logits[n, k] falls when cell (r, c) of the canvas of image n "
    "is painted in the mean colour of the input rule",
}


@dataclass(frozen=True)
class Evidence:
    """How to read the output `evidence`: `exact` adds up to the logits, `approximate` is measured by occlusion."""

    kind: Kind
    grid: Grid
    rule: str


@dataclass(frozen=True)
class Attention:
    """What the axes of the output `attention` are: `prefix` tokens without a place, then the grid."""

    layers: int
    heads: int
    prefix: int
    grid: Grid


@dataclass(frozen=True)
class ExplanationParity:
    """Largest differences from the model file and the network; null where there is nothing to compare."""

    images: int
    max_logit_error: float
    max_evidence_error: float
    max_mean_error: float | None
    max_attention_error: float | None


@dataclass(frozen=True)
class ExplanationCard:
    """Everything a caller of `model.explain.onnx` must know, kept inside the file as JSON."""

    model_sha256: str
    evidence: Evidence
    attention: Attention | None
    parity: ExplanationParity
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ExplanationCard":
        """Read a card back; a card of another format or with missing parts is refused."""
        try:
            parts = json.loads(text)
            if parts["format"] != FORMAT:
                raise ModelError(
                    f"the explanation's card has format {parts['format']}, this vitrail reads format {FORMAT}: "
                    "export the model again, or install the vitrail that wrote it"
                )
            evidence, attention = parts.pop("evidence"), parts.pop("attention")
            return cls(
                evidence=Evidence(**evidence | {"grid": to_grid(evidence["grid"])}),
                attention=attention and Attention(**attention | {"grid": to_grid(attention["grid"])}),
                parity=ExplanationParity(**parts.pop("parity")),
                **parts,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ModelError(f"the explanation's card cannot be read ({fault}): export the model again") from fault


@dataclass(frozen=True)
class Explanation:
    """Where in one image the evidence for one label lies: float [h, w] over the canvas."""

    label: str
    kind: Kind
    evidence: NDArray[np.float32]


@dataclass(frozen=True)
class Internals:
    """The outputs of the explain graph for a batch; attention where the card has its axes."""

    evidence: NDArray[np.float32]  # [N, K, h, w]
    attention: NDArray[np.float32] | None  # [N, layers, heads, T, T]


def explain_path(model: str | Path) -> Path:
    """Where the explanations of a model file are kept: beside it, model.onnx → model.explain.onnx."""
    path = Path(model)
    return path.with_name(f"{path.stem}.explain{path.suffix}")


def to_grid(sides: list[int]) -> Grid:
    rows, columns = sides
    return rows, columns
