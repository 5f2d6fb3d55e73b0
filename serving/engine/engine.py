"""The model behind the routes: what is known of it, who may use it, and the way of an image to its outputs."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.errors import ImageError, VitrailError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.model_file.explanation import ExplanationCard
from vitrail.serving import settings, tracing
from vitrail.serving.engine.admission import Admission
from vitrail.serving.engine.decoding import Canvas, ImageDecoder
from vitrail.serving.engine.inference import Inference, Loaded
from vitrail.serving.engine.jpegs import codec
from vitrail.serving.http.gate import Gate, InFlightRequest
from vitrail.serving.http.middleware import READY, unavailable
from vitrail.serving.http.problems import Problem

STOPPING = "the server is stopping"

log = logging.getLogger("bentoml.vitrail")  # a child of the logger that BentoML's servers show


class Engine:
    """One model as the routes see it: the admission and the decoder before it, and what computes it."""

    def __init__(self, gate: Gate, inference: Inference, cores: int) -> None:
        """`cores` are for decoding here."""
        self.gate = gate
        self.inference = inference
        self.deadline = settings.DEADLINE
        self.concurrency: int | None = None
        self.admission = Admission(inference, cores, max(1, cores // 2), gate.siblings)
        self.decoder = ImageDecoder(self.admission)
        self.model: DescribedModel | None = None
        self.reason: str | None = "the model is loading"
        self.has_failed = False
        self.explanations: ExplanationCard | None = None
        self.no_explainer_reason = "the model is loading"
        self.largest_batch = 1

    async def load(self, address: str) -> None:
        """Load the model; one that cannot be served leaves the engine not ready, with the reason."""
        try:
            limits = settings.read()
        except VitrailError as error:
            self.fail(str(error))
            return
        self.deadline, self.admission.max_wait = limits.deadline, limits.wait
        self.decoder.pool.budget, self.concurrency = limits.decode_memory, limits.concurrency
        await self.inference.load(limits, address, self.adopt)

    def adopt(self, loaded: Loaded) -> None:
        """Take over what is known of the model now."""
        if self.has_failed:
            return
        if self.model is not None:
            READY.labels(self.model.provider).set(0)
        self.model, self.reason, self.largest_batch = loaded.model, loaded.reason, loaded.largest_batch
        self.explanations, self.no_explainer_reason = loaded.explanations, loaded.no_explainer_reason
        self.decoder.jpegs = codec() if loaded.jpegs else None
        self.gate.siblings.publish("loading", int(self.model is None))
        if self.model is not None:
            READY.labels(self.model.provider).set(1)

    def fail(self, reason: str) -> None:
        """Never become ready, for this reason."""
        self.has_failed, self.reason = True, reason
        log.error("not ready: %s", reason)

    @property
    def not_ready_reason(self) -> str | None:
        """Why new requests are not answered, here or in another process of this server; None where they are."""
        if not self.gate.is_open:
            return STOPPING
        if self.model is None:
            return self.reason
        return "the model is loading in another process" if self.gate.siblings.others("loading") else None

    def ready(self) -> DescribedModel:
        """The model, for a new request."""
        if not self.gate.is_open:
            raise unavailable("draining", STOPPING)
        return self.loaded()

    def loaded(self) -> DescribedModel:
        """The model, also for a request that was in flight when the server began to stop."""
        if self.model is None:
            raise unavailable("not_ready", f"not ready: {self.reason}")
        return self.model

    async def admit(self, request: InFlightRequest) -> None:
        """Refuse a request for images before its body is read, where too many are in flight or wait too long."""
        if self.concurrency is not None and (admitted := self.gate.all_admitted()) >= self.concurrency:
            await self.admission.refuse(f"{admitted} requests are in flight; try again in a moment")
        await self.admission.admit()
        request.admit()

    async def decode(self, images: Sequence[bytes]) -> list[Canvas | ImageError]:
        """Each image as the model's canvas, or its error."""
        rule = self.loaded().card.input
        if rule.width is not None:
            raise Problem(415, "no_images", "this model takes vectors: send them to /v2/models/NAME/infer")
        with tracing.stage("decode", images=len(images)):
            return await self.decoder.decode(images, rule)

    async def predict(self, canvases: Sequence[Canvas]) -> Outputs:
        """The outputs for uint8 [size, size, 3] canvases, a row each, whichever batches they were in."""
        return await self.inference.predict([canvas[None] for canvas in canvases])

    async def predict_array(self, images: NDArray[Any]) -> Outputs:
        """The outputs for uint8 [N, H, W, 3]: canvases are batched, other sizes are resized in the graph.

        Sets of vectors, float32 [N, T, D], are batched.
        """
        rule = self.loaded().card.input
        if rule.width is not None:
            return await self.predict(list(images))
        if rule.is_native:
            return await self.predict(await self.decoder.run(partial(own_shapes, images, rule), len(images)))
        size = rule.size
        if images.shape[1:3] != (size, size):
            return await self.inference.predict_resized(images)
        step = self.largest_batch
        return await self.inference.predict([images[start : start + step] for start in range(0, len(images), step)])

    def require_explanations(self) -> ExplanationCard:
        if self.explanations is None:
            raise Problem(404, "no_explain_graph", self.no_explainer_reason)
        return self.explanations

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        """The evidence [h, w] for the class of this index."""
        self.require_explanations()
        return await self.inference.explain(canvas, index)

    async def close(self) -> None:
        await self.inference.close()
        self.decoder.close()


def own_shapes(images: NDArray[np.uint8], rule: InputRule) -> list[Canvas]:
    """Images as canvases of their own shapes."""
    return [to_canvas(Image.fromarray(image), rule) for image in images]
