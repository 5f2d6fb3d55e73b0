"""A model.onnx in memory: classify, embed, verify (onnxruntime; no torch)."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail import images
from vitrail.card import METADATA_KEY, Card
from vitrail.errors import ModelError, ProviderError, UsageError
from vitrail.golden import RECIPE, golden_pictures
from vitrail.runtime import (
    PROVIDERS,
    Provider,
    choose_providers,
    load_faults,
    require_one_onnxruntime,
    session_options,
)


@dataclass(frozen=True)
class Label:
    """One class that a picture may belong to, and how probable the model holds it."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Answers:
    """What the graph says of a batch: one row a picture."""

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class GoldenCheck:
    """How far this machine's answers to the golden pictures lie from those in the card."""

    worst: float
    allowed: float
    picture: int

    @property
    def passed(self) -> bool:
        return self.worst <= self.allowed


class Classifier:
    """A model file that is ready to answer; its card says what the answers mean."""

    def __init__(self, path: str | Path, provider: Provider = "auto", threads: int | None = None) -> None:
        require_one_onnxruntime()
        import onnxruntime as ort

        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"there is no model file at {self.path}")
        options = session_options(threads)
        try:
            self.session = ort.InferenceSession(str(self.path), options, providers=choose_providers(provider))
        except load_faults() as fault:
            raise ModelError(f"{self.path} is not an ONNX file that onnxruntime can load") from fault
        self.provider: str = self.session.get_providers()[0]
        if provider != "auto" and self.provider != PROVIDERS[provider]:
            raise ProviderError(
                f"provider '{provider}' was asked for, but onnxruntime fell back to {self.provider}: "
                "check the GPU's driver and CUDA libraries, or use --provider auto"
            )
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{self.path} has no vitrail card: it was not written by `vitrail export`")
        self.card = Card.from_json(text)

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def fit(self, data: bytes) -> NDArray[np.uint8]:
        """An encoded picture as this model's canvas, uint8 [size, size, 3]."""
        return images.fit(data, self.card.input)

    def answer(self, pictures: NDArray[np.uint8]) -> Answers:
        """Run the graph on uint8 [N, H, W, 3]; a batch of canvases is the fast and the measured way."""
        return Answers(*self.session.run(["probabilities", "logits", "embedding"], {"image": pictures}))

    def classify(self, data: bytes, top_k: int = 5) -> list[Label]:
        """The `top_k` most probable labels of one encoded picture."""
        return self.labels(self.answer(self.fit(data)[None]).probabilities[0], top_k)

    def labels(self, probabilities: NDArray[np.float32], top_k: int) -> list[Label]:
        """One row of probabilities as its `top_k` labels, the most probable first."""
        count = len(self.card.classes)
        if not 1 <= top_k <= count:
            raise UsageError(f"top_k must lie between 1 and {count}, the number of classes; it is {top_k}")
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        return [Label(self.card.classes[i], int(i), float(probabilities[i])) for i in order]

    def check_golden(self) -> GoldenCheck:
        """Answer the golden pictures again, and compare with what the card expects."""
        golden = self.card.golden
        if golden.recipe != RECIPE:
            raise ModelError(f"golden recipe '{golden.recipe}' is unknown here; this vitrail draws '{RECIPE}'")
        pictures = golden_pictures(self.card.input.size)
        expected = np.array(golden.logits, np.float32)
        found = np.concatenate([self.answer(picture[None]).logits for picture in pictures])
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ModelError(f"{self.path} answers the golden pictures with numbers that cannot be compared")
        errors = np.abs(found - expected).max(axis=1)
        scale = max(1.0, float(expected.std()))
        relative = golden.tolerance.get(self.provider, max(golden.tolerance.values()))
        return GoldenCheck(float(errors.max()), relative * scale, int(errors.argmax()))
