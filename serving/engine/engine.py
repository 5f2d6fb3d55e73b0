"""The model behind the routes: loaded in the background, then run off the event loop."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.errors import ImageError, VitrailError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.patches import batch_of
from vitrail.model_file.classifier import Classifier, Outputs
from vitrail.model_file.explainer import Explainer
from vitrail.runtime.providers import usable_cores
from vitrail.serving import settings, tracing
from vitrail.serving.engine.admission import Admission
from vitrail.serving.engine.batcher import Batcher, QueueFull, bucket
from vitrail.serving.engine.decoding import Canvas, ImageDecoder
from vitrail.serving.engine.start_up import fallback_reason, open_explainer, open_model
from vitrail.serving.http.gate import Gate, InFlightRequest
from vitrail.serving.http.middleware import READY, STAGE, unavailable
from vitrail.serving.http.problems import Problem

P = ParamSpec("P")
T = TypeVar("T")
Block = NDArray[np.uint8]  # [n, size, size, 3]: canvases of one request

STOPPING = "the server is stopping"
INLINE_SECONDS = 0.002  # a batch that takes less is computed on the event loop: handing it over would cost more
MAX_EXPLAIN_WAITING = 16  # images

log = logging.getLogger("bentoml.vitrail")  # a child of the logger that BentoML's servers show


class Engine:
    """One model, the one thread that runs it, and the batcher, admission and decoder before it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.deadline = settings.DEADLINE
        self.concurrency: int | None = None
        cores = usable_cores()
        self.batcher: Batcher[Block, Outputs] = Batcher(self.infer, settings.QUEUE, size=len)
        self.admission = Admission(self.batcher, cores, max(1, cores // 2))
        self.decoder = ImageDecoder(self.admission)
        self.worker = ThreadPoolExecutor(1, "infer")
        self.model: Classifier | None = None
        self.reason: str | None = "the model is loading"
        self.has_failed = False
        self.explainer: Explainer | None = None
        self.no_explainer_reason = "the model is loading"
        self.explain_lock = asyncio.Lock()
        self.explain_waiting = 0
        self.resize_lock = asyncio.Lock()
        self.resize_waiting = 0

    async def load(self, address: str) -> None:
        """Load the model; one that cannot be served leaves the engine not ready, with the reason."""
        try:
            limits = settings.read()
            self.deadline, self.admission.max_wait = limits.deadline, limits.wait
            self.batcher.capacity, self.decoder.pool.budget = limits.queue, limits.decode_memory
            self.concurrency = limits.concurrency
            model, self.batcher.max_size = await run(self.worker, open_model)
            self.explainer, self.no_explainer_reason = await run(self.worker, open_explainer, model)
        except VitrailError as error:
            self.fail(str(error))
            return
        if self.has_failed:
            return
        gc.freeze()  # what exists now is never freed; scanning it in each collection would pause all requests
        self.model, self.reason = model, fallback_reason(model)
        READY.labels(model.provider).set(1)
        log.info("batches have at most %d images", self.batcher.max_size)
        log.info("ready on %s%s: %s", model.provider, f" ({self.reason})" if self.reason else "", address)

    def fail(self, reason: str) -> None:
        """Never become ready, for this reason."""
        self.has_failed, self.reason = True, reason
        log.error("not ready: %s", reason)

    def ready(self) -> Classifier:
        """The model, for a new request."""
        if not self.gate.is_open:
            raise unavailable("draining", STOPPING)
        return self.loaded()

    def loaded(self) -> Classifier:
        """The model, also for a request that was in flight when the server began to stop."""
        if self.model is None:
            raise unavailable("not_ready", f"not ready: {self.reason}")
        return self.model

    async def admit(self, request: InFlightRequest) -> None:
        """Refuse a request for images before its body is read, where too many are in flight or wait too long."""
        if self.concurrency is not None and self.gate.admitted >= self.concurrency:
            await self.admission.refuse(f"{self.gate.admitted} requests are in flight; try again in a moment")
        await self.admission.admit()
        request.admit()

    async def decode(self, images: Sequence[bytes]) -> list[Canvas | ImageError]:
        """Each image as the model's canvas, or its error."""
        with tracing.stage("decode", images=len(images)):
            return await self.decoder.decode(images, self.loaded().card.input)

    async def predict(self, canvases: Sequence[Canvas]) -> Outputs:
        """The outputs for uint8 [size, size, 3] canvases, a row each, whichever batches they were in."""
        return await self.predict_blocks([canvas[None] for canvas in canvases])

    async def predict_array(self, images: NDArray[np.uint8]) -> Outputs:
        """The outputs for uint8 [N, H, W, 3]: canvases are batched, other sizes are resized in the graph."""
        rule = self.loaded().card.input
        if rule.is_native:
            async with self.resizing(len(images)):
                canvases = await run(self.worker, own_shapes, images, rule)
            return await self.predict(canvases)
        size = rule.size
        if images.shape[1:3] != (size, size):
            return await self.predict_resized(images)
        step = self.batcher.max_size
        return await self.predict_blocks([images[start : start + step] for start in range(0, len(images), step)])

    async def predict_blocks(self, blocks: list[Block]) -> Outputs:
        try:
            return Outputs.joined(await self.batcher.submit(blocks))
        except QueueFull as error:
            raise unavailable("busy", f"{error}; try again in a moment") from error

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        """One [1, H, W, 3] at a time, one request at a time: batches wait for no more than one of them."""
        async with self.resizing(len(images)):
            model = self.loaded()
            return Outputs.joined([(await run(self.worker, run_batch, model, [each[None]]))[0] for each in images])

    @asynccontextmanager
    async def resizing(self, images: int) -> AsyncIterator[None]:
        """One request's turn to have images resized in the worker thread; refused where too many wait."""
        if self.resize_waiting + images > self.batcher.capacity:
            raise unavailable("busy", f"{self.resize_waiting} images wait to be resized; try again in a moment")
        self.resize_waiting += images
        try:
            async with self.resize_lock:
                yield
        finally:
            self.resize_waiting -= images

    async def infer(self, blocks: list[Block]) -> list[Outputs]:
        """One batch of canvases, in the worker thread; on the event loop where that takes less than the handover."""
        if 0 < sum(map(len, blocks)) * self.admission.infer_rate.seconds < INLINE_SECONDS:
            return self.infer_timed(self.loaded(), blocks)
        return await run(self.worker, self.infer_timed, self.loaded(), blocks)

    def infer_timed(self, model: Classifier, blocks: list[Block]) -> list[Outputs]:
        """Run the batch and update the rate, which leaves out the wait for other work of the thread."""
        start = perf_counter()
        outputs = run_batch(model, blocks)
        self.admission.infer_rate.update(perf_counter() - start, sum(map(len, blocks)))
        return outputs

    def require_explainer(self) -> Explainer:
        if self.explainer is None:
            raise Problem(404, "no_explain_graph", self.no_explainer_reason)
        return self.explainer

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        """The evidence [h, w] for the class of this index.

        The worker thread is given one image at a time, so predictions wait for at most one explanation.
        """
        if self.explain_waiting >= MAX_EXPLAIN_WAITING:
            raise unavailable("busy", f"{self.explain_waiting} images wait to be explained; try again in a moment")
        self.explain_waiting += 1
        try:
            async with self.explain_lock:
                with tracing.stage("explain"):
                    return await run(self.worker, run_explainer, self.require_explainer(), canvas, index)
        finally:
            self.explain_waiting -= 1

    async def close(self) -> None:
        await self.batcher.close()
        self.decoder.close()
        self.worker.shutdown(wait=False, cancel_futures=True)


def run(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))


def run_batch(model: Classifier, blocks: list[Block]) -> list[Outputs]:
    """Run blocks as one batch [N, size, size, 3]; returns the outputs of each block."""
    with STAGE["infer"].time():
        batch = joined(blocks)
        outputs = model.predict(padded(batch, batch_size(model, len(batch))))
    ends = list(accumulate(map(len, blocks)))
    return [outputs.rows(end - len(block), end) for block, end in zip(blocks, ends, strict=True)]


def run_explainer(explainer: Explainer, canvas: Canvas, index: int) -> NDArray[np.float32]:
    with STAGE["explain"].time():
        evidence: NDArray[np.float32] = explainer.evidence(canvas[None])[0, index]
    return evidence


def batch_size(model: Classifier, count: int) -> int:
    """The size to run for a batch of `count`: any on a CPU; elsewhere a bucket's, as each size has its own plan."""
    return count if model.is_on_cpu or model.card.input.is_native else bucket(count)


def own_shapes(images: NDArray[np.uint8], rule: InputRule) -> list[Canvas]:
    """Images as canvases of their own shapes."""
    return [to_canvas(Image.fromarray(image), rule) for image in images]


def joined(blocks: list[Block]) -> NDArray[np.uint8]:
    """The canvases of all blocks as one batch."""
    if len({block.shape[1:] for block in blocks}) == 1:
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return batch_of([canvas for block in blocks for canvas in block])


def padded(batch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The batch, padded with black canvases to this size."""
    return np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)]) if len(batch) < size else batch
