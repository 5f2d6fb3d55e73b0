"""A model.explain.onnx in memory, beside its model: where the evidence for a label lies (onnxruntime; no torch)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ModelError, UsageError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explanation import METADATA_KEY, Explanation, ExplanationCard, Internals, explain_path
from vitrail.model_file.seal import sealed_digest
from vitrail.runtime.providers import TF32, Provider, open_session


class Explainer:
    """An explain file that belongs to this classifier's file; its card says how to read it."""

    def __init__(
        self,
        classifier: Classifier,
        path: str | Path | None = None,
        provider: Provider = "auto",
        threads: int | None = None,
    ) -> None:
        self.classifier = classifier
        self.path = explain_path(classifier.path) if path is None else Path(path)
        if not self.path.is_file():
            raise ModelError(f"there is no explain file at {self.path}: `vitrail export --explain` writes it")
        # A TensorRT engine would take minutes to build, for a graph that is seldom used.
        self.session = open_session(self.path, "cuda" if provider in ("tensorrt", *TF32) else provider, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{self.path} has no explain card: it was not written by `vitrail export --explain`")
        self.card = ExplanationCard.from_json(text)
        sealed_digest(self.path)
        if self.card.model_sha256 != classifier.sha256:
            raise ModelError(f"{self.path} explains a model file other than {classifier.path}: export both again")

    def explain(self, data: bytes, label: str) -> Explanation:
        """Where in one encoded image the evidence for `label` lies."""
        classes = self.classifier.card.classes
        if label not in classes:
            raise UsageError(f"the model has no label '{label}'; its labels are {', '.join(classes)}")
        evidence = self.evidence(self.classifier.fit(data)[None])
        return Explanation(label, self.card.evidence.kind, evidence[0, classes.index(label)])

    def evidence(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [N, H, W, 3] → evidence [N, K, h, w] for every class."""
        evidence: NDArray[np.float32] = self.session.run(["evidence"], {"image": images})[0]
        return evidence

    def internals(self, images: NDArray[np.uint8]) -> Internals:
        """uint8 [N, H, W, 3] → evidence for every class and attention in every head, in one run."""
        names = ["evidence"] if self.card.attention is None else ["evidence", "attention"]
        outputs = self.session.run(names, {"image": images})
        return Internals(outputs[0], outputs[1] if len(outputs) > 1 else None)
