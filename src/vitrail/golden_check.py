"""The golden check: whether a file answers here as it did where it was made, and which part of it does not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.classifier import Classifier
from vitrail.errors import ModelError
from vitrail.golden import RECIPE, golden_pictures

ROUNDING = 1e-5  # of a probability that follows from logits in float32


@dataclass(frozen=True)
class Part:
    """One part of the graph, and how far its answers to the golden pictures lie from those in the card."""

    name: str
    worst: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.worst <= self.allowed


@dataclass(frozen=True)
class GoldenCheck:
    """What was found, part by part, in the way of a picture through the graph."""

    parts: tuple[Part, ...]

    @property
    def passed(self) -> bool:
        return all(part.passed for part in self.parts)

    @property
    def differences(self) -> str:
        """What differs, in words."""
        return ", ".join(
            f"{part.name} by {part.worst:.2e}, more than the {part.allowed:.2e} allowed"
            for part in self.parts
            if not part.passed
        )


def check_golden(model: Classifier) -> GoldenCheck:
    """Answer the golden pictures again, and compare with what the card expects."""
    card, golden = model.card, model.card.golden
    if golden.recipe != RECIPE:
        raise ModelError(f"golden recipe '{golden.recipe}' is unknown here; this vitrail draws '{RECIPE}'")
    asked = slice(0, -1 if model.takes_canvases_only else None)  # the last is no canvas
    answers = [model.answer(picture[None]) for picture in golden_pictures(card.input.size)[asked]]
    logits = np.concatenate([answer.logits for answer in answers])
    lengths = np.array([np.linalg.norm(answer.embedding) for answer in answers])
    expected = np.array(golden.logits, np.float32)[asked]
    expected_lengths = np.array(golden.embedding_lengths, np.float32)[asked]
    if logits.shape != expected.shape or lengths.shape != expected_lengths.shape or not np.isfinite(logits).all():
        raise ModelError(f"{model.path} answers the golden pictures with numbers that cannot be compared")
    tolerance = golden.tolerance.get(model.provider, max(golden.tolerance.values()))
    near = tolerance * max(1.0, float(expected.std()))
    off = np.abs(logits - expected).max(axis=1)
    probabilities = np.concatenate([answer.probabilities for answer in answers])
    implied = softmax(logits.astype(float) / card.calibration.temperature)
    canvases, resized = (off, []) if model.takes_canvases_only else (off[:-1], off[-1:])
    return GoldenCheck(
        (
            Part("logits of canvases", float(canvases.max()), near),
            *(Part("logits of a picture resized in the graph", float(one), near) for one in resized),
            Part(
                "embedding",
                float(np.abs(lengths - expected_lengths).max() / max(expected_lengths.max(), 1e-6)),
                tolerance,
            ),
            Part("probabilities", float(np.abs(probabilities - implied).max()), ROUNDING),
        )
    )


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(logits) as shares of their sum, row by row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
