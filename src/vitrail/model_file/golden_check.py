"""The golden check: whether a file answers here as it did where it was made, and which part of it does not."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vitrail.errors import ModelError
from vitrail.images.golden import RECIPE, golden_images
from vitrail.model_file.classifier import Classifier, Outputs
from vitrail.tasks.task import ProbabilityTask

ROUNDING = 1e-5  # of a probability that follows from logits in float32


@dataclass(frozen=True)
class Part:
    """One part of the graph, and how far its answers to the golden images lie from those in the card."""

    name: str
    worst: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.worst <= self.allowed


@dataclass(frozen=True)
class GoldenCheck:
    """What was found, part by part, in the way of an image through the graph."""

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
    """Answer the golden images again, and compare with what the card expects."""
    card, golden, task = model.card, model.card.golden, model.task
    if golden.recipe != RECIPE:
        raise ModelError(f"golden recipe '{golden.recipe}' is unknown here; this vitrail draws '{RECIPE}'")
    asked = slice(0, -1 if model.takes_canvases_only else None)  # the last is no canvas
    answers = [model.predict(image[None]) for image in golden_images(card.input.size)[asked]]
    raw = np.concatenate([answer.columns[task.raw] for answer in answers])
    found, lengths = task.golden(raw), np.array([np.linalg.norm(answer.embedding) for answer in answers])
    expected = np.array(golden.logits, np.float32)[asked]
    expected_lengths = np.array(golden.embedding_lengths, np.float32)[asked]
    if found.shape != expected.shape or lengths.shape != expected_lengths.shape or not np.isfinite(raw).all():
        raise ModelError(f"{model.path} answers the golden images with numbers that cannot be compared")
    tolerance = golden.tolerance.get(model.provider, max(golden.tolerance.values()))
    units = np.array(card.units or 1.0)
    near = tolerance * max(1.0, float((expected / units).std()))
    off = np.abs((found - expected) / units).max(axis=1)
    canvases, resized = (off, []) if model.takes_canvases_only else (off[:-1], off[-1:])
    return GoldenCheck(
        (
            Part(f"{task.raw} of canvases", float(canvases.max()), near),
            *(Part(f"{task.raw} of an image resized in the graph", float(one), near) for one in resized),
            Part(
                "embedding",
                float(np.abs(lengths - expected_lengths).max() / max(expected_lengths.max(), 1e-6)),
                tolerance,
            ),
            *probabilities_as_implied(model, answers),
        )
    )


def probabilities_as_implied(model: Classifier, answers: list[Outputs]) -> Iterator[Part]:
    """Where there are probabilities: whether they follow from logits and temperature."""
    if isinstance(model.task, ProbabilityTask) and model.card.calibration is not None:
        temperature = model.card.calibration.temperature
        implied = [model.task.probabilities(answer.logits.astype(float) / temperature) for answer in answers]
        off = [np.abs(answer.probabilities - each).max() for answer, each in zip(answers, implied, strict=True)]
        yield Part("probabilities", float(max(off)), ROUNDING)
