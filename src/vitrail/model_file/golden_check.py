"""The golden check: whether a file gives the same outputs here as where it was exported, part by part."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vitrail.errors import ModelError
from vitrail.images.golden import PANES, RECIPE, golden_images
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.tasks.task import ProbabilityTask

ROUNDING = 1e-5  # of a probability that follows from logits in float32


@dataclass(frozen=True)
class Part:
    """One part of the graph, and its largest difference from the outputs in the card."""

    name: str
    worst: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.worst <= self.allowed


@dataclass(frozen=True)
class GoldenCheck:
    """The result, part by part, from input to output."""

    parts: tuple[Part, ...]

    @property
    def passed(self) -> bool:
        return all(part.passed for part in self.parts)

    @property
    def differences(self) -> str:
        """The parts that differ, as text."""
        return ", ".join(
            f"{part.name} by {part.worst:.2e}, more than the {part.allowed:.2e} allowed"
            for part in self.parts
            if not part.passed
        )


def check_golden(model: Classifier) -> GoldenCheck:
    """Run the model on the golden images, and compare with the card."""
    card, golden, task = model.card, model.card.golden, model.task
    if golden.recipe != RECIPE:
        raise ModelError(f"golden recipe '{golden.recipe}' is unknown here: install the vitrail that wrote the file")
    is_resized = not (card.input.is_native or model.takes_canvases_only)  # the last, if there is one more
    used = slice(0, len(PANES) + is_resized)
    outputs = [model.predict(image[None]) for image in golden_images(card.input)[used]]
    raw = np.concatenate([each.columns[task.raw] for each in outputs])
    actual, lengths = task.golden(raw), np.array([np.linalg.norm(each.embedding) for each in outputs])
    expected = np.array(golden.logits, np.float32)[used]
    expected_lengths = np.array(golden.embedding_lengths, np.float32)[used]
    if actual.shape != expected.shape or lengths.shape != expected_lengths.shape or not np.isfinite(raw).all():
        raise ModelError(
            f"{model.path} gives outputs for the golden images that cannot be compared: export the model again"
        )
    tolerance = golden.tolerance.get(model.provider, max(golden.tolerance.values()))
    units = np.resize(card.units or 1.0, expected.shape[1])  # those of each cell are the same
    near = tolerance * max(1.0, float((expected / units).std()))
    off = np.abs((actual - expected) / units).max(axis=1)
    canvases, resized = (off[:-1], off[-1:]) if is_resized else (off, [])
    return GoldenCheck(
        (
            Part(f"{task.raw} of {'canvases' if card.input.width is None else 'sets'}", float(canvases.max()), near),
            *(Part(f"{task.raw} of an image resized in the graph", float(one), near) for one in resized),
            Part(
                "embedding",
                float(np.abs(lengths - expected_lengths).max() / max(expected_lengths.max(), 1e-6)),
                tolerance,
            ),
            *check_probabilities(model, outputs),
        )
    )


def check_probabilities(model: Classifier, outputs: list[Outputs]) -> Iterator[Part]:
    """Whether probabilities, where there are any, follow from logits and temperature."""
    if isinstance(model.task, ProbabilityTask) and model.card.calibration is not None:
        temperature = model.card.calibration.temperature
        implied = [model.task.probabilities(each.logits.astype(float) / temperature) for each in outputs]
        off = [np.abs(one.probabilities - each).max() for one, each in zip(outputs, implied, strict=True)]
        yield Part("probabilities", float(max(off)), ROUNDING)
