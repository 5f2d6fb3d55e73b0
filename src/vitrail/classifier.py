"""A model.onnx in memory: classify, embed (onnxruntime; no torch)."""

from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail import images
from vitrail.card import METADATA_KEY, Card
from vitrail.errors import ModelError, UsageError
from vitrail.runtime import PROVIDERS, Provider, open_session
from vitrail.seal import sealed_digest
from vitrail.tensorrt import tensorrt_options


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


class Classifier:
    """A model file that is ready to answer; its card says what the answers mean."""

    def __init__(self, path: str | Path, provider: Provider = "auto", threads: int | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"there is no model file at {self.path}")
        # TensorRT is told the canvas, which stands in the card: the file is read on the CPU first.
        first: Provider = "cpu" if provider == "tensorrt" else provider
        self.session = open_session(self.path, first, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{self.path} has no vitrail card: it was not written by `vitrail export`")
        self.card = Card.from_json(text)
        self.sha256 = sealed_digest(self.path)
        if provider == "tensorrt":
            told = tensorrt_options(self.sha256, self.card.input.size, self.card.precision == "fp16")
            self.session = open_session(self.path, provider, threads, told)
        self.provider: str = self.session.get_providers()[0]

    def fit(self, data: bytes) -> NDArray[np.uint8]:
        """An encoded picture as this model's canvas, uint8 [size, size, 3]."""
        return images.fit(data, self.card.input)

    def answer(self, pictures: NDArray[np.uint8]) -> Answers:
        """Run the graph on uint8 [N, H, W, 3]; a batch of canvases is the fast and the measured way."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
            raise UsageError(
                "the model takes uint8 pictures [N, height, width, 3], RGB, 0 to 255, not yet normalised; "
                f"these are {pictures.dtype} {list(pictures.shape)}"
            )
        size = self.card.input.size
        if self.takes_canvases_only and pictures.shape[1:3] != (size, size):
            raise UsageError(f"on TensorRT the model takes canvases of {size}×{size} pixels alone")
        return Answers(*self.session.run(["probabilities", "logits", "embedding"], {"image": pictures}))

    @property
    def takes_canvases_only(self) -> bool:
        """TensorRT's engine is built for one height and width."""
        return self.provider == PROVIDERS["tensorrt"]

    def classify(self, data: bytes, top_k: int = 5) -> list[Label]:
        """The `top_k` most probable labels of one encoded picture."""
        return self.labels(self.answer(self.fit(data)[None]).probabilities[0], top_k)

    def none_of_these(self, probabilities: NDArray[np.float32]) -> bool:
        """Whether one row of probabilities is too unsure for the card's threshold to be any of the classes."""
        return float(probabilities.max()) < self.card.abstention.threshold

    def labels(self, probabilities: NDArray[np.float32], top_k: int) -> list[Label]:
        """One row of probabilities as its `top_k` labels, the most probable first."""
        count = len(self.card.classes)
        if not 1 <= top_k <= count:
            raise UsageError(f"top_k must lie between 1 and {count}, the number of classes; it is {top_k}")
        numbers = probabilities.tolist()  # numpy would let go of the interpreter to sort a handful
        order = nlargest(top_k, range(count), key=numbers.__getitem__)
        return [Label(self.card.classes[i], i, numbers[i]) for i in order]
