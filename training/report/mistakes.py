"""The most confident mistakes on the test images: which they are, their images, and the evidence for what was said."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.forms import Canvas
from vitrail.models.evidence import exact_evidence, exact_grid, mean_head
from vitrail.models.input import together
from vitrail.plots.overlay import draw_overlay
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule

MOST = 24


@dataclass(frozen=True)
class Mistake:
    """A test image, the class that it is and the one predicted, by index."""

    index: int
    label: int
    predicted: int
    probability: float  # of the predicted class


@dataclass(frozen=True, eq=False)
class Shown:
    """A mistake with its image as the network sees it, and the evidence for the predicted class over it, if exact."""

    mistake: Mistake
    name: str
    image: Image.Image
    evidence: Image.Image | None


def worst_mistakes(probabilities: NDArray[np.float32], labels: NDArray[np.int64], most: int = MOST) -> list[Mistake]:
    """Of probabilities [N, K] and labels [N]; the most probable wrong answers first."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    chosen = wrong[np.argsort(-confidence, kind="stable")[:most]].tolist()
    return [Mistake(i, int(labels[i]), int(predicted[i]), float(probabilities[i, predicted[i]])) for i in chosen]


def shown(mistakes: list[Mistake], model: ImageModule, data: ImageDataModule) -> list[Shown]:
    """Images are read one by one: only these few are in memory."""
    names, images = data.targets("test").names, data.images("test", Canvas(data.rule))
    evidence = ExactEvidence.of(model)
    made = []
    for one in mistakes:
        canvas = np.asarray(images[one.index])
        overlay = None if evidence is None else draw_overlay(canvas, evidence(canvas, one.predicted))
        drawn = drawn_vectors(canvas) if data.width is not None else canvas
        made.append(Shown(one, str(names[one.index]), Image.fromarray(drawn), overlay))
    return made


def drawn_vectors(vectors: NDArray[Any]) -> NDArray[np.uint8]:
    """A set [T, D] as grey columns, the first number of each at the bottom: of sound, a spectrogram."""
    lowest, highest = float(vectors.min()), float(vectors.max())
    shades = 255 * (vectors - lowest) / max(highest - lowest, 1e-6)
    return np.ascontiguousarray(shades.T[::-1]).astype(np.uint8)


class ExactEvidence:
    """The evidence for a class in one canvas, of a network whose head reads nothing but the mean over cells."""

    def __init__(self, model: ImageModule, head: Any, grid: tuple[int, int]) -> None:
        self.model, self.head, self.grid = model, head, grid

    @classmethod
    def of(cls, model: ImageModule) -> "ExactEvidence | None":
        """None where evidence is not exact, or images have shapes of their own."""
        model.cpu().eval()
        rule, head = model.input.rule, mean_head(model.net)
        grid = exact_grid(model.net, head, rule.size) if head is not None and not rule.is_native else None
        return None if grid is None else cls(model, head, grid)

    def __call__(self, canvas: NDArray[np.uint8], predicted: int) -> NDArray[np.float32]:
        """[size, size, 3] → [h, w], whose mean is the logit."""
        with torch.inference_mode():
            pixels = self.model.input.normalised(together([canvas], self.model.input.rule))
            features = self.model.net.forward_features(pixels)
            evidence: NDArray[np.float32] = exact_evidence(self.head, features, self.grid)[0, predicted].numpy()
        return evidence
