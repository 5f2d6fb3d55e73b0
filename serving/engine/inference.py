"""The model in this process: loaded in the background, then run in batches off the event loop."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import VitrailError
from vitrail.images.patches import batch_of
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import ExplanationCard
from vitrail.serving import settings, tracing
from vitrail.serving.engine.admission import InferQueue, RateEstimate
from vitrail.serving.engine.batcher import Batcher, QueueFull, bucket
from vitrail.serving.engine.start_up import fallback_reason, open_explainer, open_model
from vitrail.serving.http.middleware import STAGE, unavailable
from vitrail.serving.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
Canvas = NDArray[np.uint8]  # [size, size, 3]
Block = NDArray[np.uint8]  # [n, size, size, 3]: canvases of one request

INLINE_SECONDS = 0.002  # a batch that takes less is computed on the event loop: handing it over would cost more
MAX_EXPLAIN_WAITING = 16  # images

log = logging.getLogger("bentoml.vitrail")  # a child of the logger that BentoML's servers show


@dataclass(frozen=True)
class Loaded:
    """What is known once a model was loaded, or cannot be."""

    model: DescribedModel | None
    reason: str | None  # why there is none, or no GPU in use
    explanations: ExplanationCard | None = None
    no_explainer_reason: str = "the model is loading"
    largest_batch: int = 1


Adopt = Callable[[Loaded], None]


class Inference(InferQueue, Protocol):
    """What computes canvases for the routes: in this process, or in one that several share."""

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        """Load the model; `adopt` gets what is known of it, whenever that changes."""

    async def predict(self, blocks: list[Block]) -> Outputs:
        """A row of outputs for each canvas, whichever batches they were in."""

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        """The outputs for images [N, H, W, 3] that are no canvases."""

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        """The evidence [h, w] for the class of this index."""

    async def close(self) -> None:
        """Compute what waits, and end."""


class LocalInference:
    """One model, the one thread that runs it, and the batcher before it."""

    def __init__(self, on_change: Callable[[str], None] = lambda caller: None) -> None:
        """`on_change` is called with each caller of whom more or fewer images wait."""
        self.batcher: Batcher[Block, Outputs] = Batcher(self.infer, settings.QUEUE, size=len, on_change=on_change)
        self.worker = ThreadPoolExecutor(1, "infer")
        self.model: Classifier | None = None
        self.explainer: Explainer | None = None
        self.infer_rate = RateEstimate()
        self.explain_lock = asyncio.Lock()
        self.explain_waiting = 0
        self.resizing = Turnstile(self.batcher)

    @property
    def capacity(self) -> int:
        return self.batcher.capacity

    @property
    def waiting_size(self) -> int:
        return self.batcher.waiting_size

    @property
    def waiting(self) -> Mapping[str, int]:
        return self.batcher.turns.waiting

    @property
    def rate(self) -> float:
        return self.infer_rate.seconds

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        """One that cannot be served stays unknown, with the reason."""
        self.batcher.capacity = limits.queue
        try:
            model, largest = await run(self.worker, open_model)
            explainer, no_explainer_reason = await run(self.worker, open_explainer, model)
        except VitrailError as error:
            log.error("not ready: %s", error)
            adopt(Loaded(None, str(error)))
            return
        gc.freeze()  # what exists now is never freed; scanning it in each collection would pause all requests
        self.model, self.explainer, self.batcher.max_size = model, explainer, largest
        reason = fallback_reason(model)
        log.info("batches have at most %d images", largest)
        log.info("ready on %s%s: %s", model.provider, f" ({reason})" if reason else "", address)
        adopt(Loaded(model, reason, explainer.card if explainer else None, no_explainer_reason, largest))

    async def predict(self, blocks: list[Block]) -> Outputs:
        try:
            return Outputs.joined(await self.batcher.submit(blocks))
        except QueueFull as error:
            raise unavailable("busy", f"{error}; try again in a moment") from error

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        """One [1, H, W, 3] at a time, one request at a time: batches wait for no more than one of them."""
        async with self.resizing.turn(len(images)):
            assert self.model is not None
            return Outputs.joined([(await run(self.worker, run_batch, self.model, [each[None]]))[0] for each in images])

    async def infer(self, blocks: list[Block]) -> list[Outputs]:
        """One batch of canvases, in the worker thread; on the event loop where that takes less than the handover."""
        assert self.model is not None
        if 0 < sum(map(len, blocks)) * self.infer_rate.seconds < INLINE_SECONDS:
            return self.infer_timed(self.model, blocks)
        return await run(self.worker, self.infer_timed, self.model, blocks)

    def infer_timed(self, model: Classifier, blocks: list[Block]) -> list[Outputs]:
        """Run the batch and update the rate, which leaves out the wait for other work of the thread."""
        start = perf_counter()
        outputs = run_batch(model, blocks)
        self.infer_rate.update(perf_counter() - start, sum(map(len, blocks)))
        return outputs

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        """The worker thread is given one image at a time, so predictions wait for at most one explanation."""
        if self.explain_waiting >= MAX_EXPLAIN_WAITING:
            raise unavailable("busy", f"{self.explain_waiting} images wait to be explained; try again in a moment")
        self.explain_waiting += 1
        try:
            async with self.explain_lock:
                assert self.explainer is not None
                with tracing.stage("explain"):
                    return await run(self.worker, run_explainer, self.explainer, canvas, index)
        finally:
            self.explain_waiting -= 1

    async def close(self) -> None:
        await self.batcher.close()
        self.worker.shutdown(wait=False, cancel_futures=True)


class Turnstile:
    """Requests whose images are resized one request at a time; refused where too many images wait."""

    def __init__(self, batcher: Batcher[Block, Outputs]) -> None:
        self.batcher = batcher
        self.lock = asyncio.Lock()
        self.waiting = 0

    @asynccontextmanager
    async def turn(self, images: int) -> AsyncIterator[None]:
        if self.waiting + images > self.batcher.capacity:
            raise unavailable("busy", f"{self.waiting} images wait to be resized; try again in a moment")
        self.waiting += images
        try:
            async with self.lock:
                yield
        finally:
            self.waiting -= images


def run(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))


def run_batch(model: Classifier, blocks: Sequence[Block]) -> list[Outputs]:
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


def joined(blocks: Sequence[Block]) -> NDArray[np.uint8]:
    """The canvases of all blocks as one batch."""
    if len({block.shape[1:] for block in blocks}) == 1:
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return batch_of([canvas for block in blocks for canvas in block])


def padded(batch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The batch, padded with black canvases to this size."""
    return np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)]) if len(batch) < size else batch
