"""The model in this process: loaded in the background, then run in batches off the event loop."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import VitrailError
from vitrail.images.golden import golden_images
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import ExplanationCard
from vitrail.runtime.bound import BUCKETS, bucket
from vitrail.runtime.providers import run_faults
from vitrail.serving import settings, tracing
from vitrail.serving.engine.admission import InferQueue, RateEstimate
from vitrail.serving.engine.batcher import Batcher, BatchFailed, QueueFull, failure
from vitrail.serving.engine.jpegs import decodes_alike
from vitrail.serving.engine.start_up import best_time, fallback_reason, open_explainer, open_model
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
    jpegs: bool = False  # nvImageCodec decodes them
    seconds: float = 0.0  # for an image alone


Adopt = Callable[[Loaded], None]
LOADING = Loaded(None, "the model is loading")


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


def end_worker() -> None:
    """End BentoML's worker as a stop does; its arbiter starts another."""
    signal.raise_signal(signal.SIGTERM)


class LocalInference:
    """One model, the one thread that runs it, and the batcher before it."""

    def __init__(
        self, on_change: Callable[[str], None] = lambda caller: None, on_lost: Callable[[], None] = end_worker
    ) -> None:
        """`on_change` is called with each caller of whom more or fewer images wait, `on_lost` once nothing can be
        computed any more.
        """
        self.batcher: Batcher[Block, Outputs] = Batcher(self.infer, settings.QUEUE, size=len, on_change=on_change)
        self.worker = ThreadPoolExecutor(1, "infer")
        self.on_lost = on_lost
        self.adopt: Adopt = lambda loaded: None
        self.loaded: Loaded = LOADING
        self.model: Classifier | None = None
        self.explainer: Explainer | None = None
        self.infer_rate = RateEstimate()
        self.last_end = 0.0  # of a batch
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
        self.batcher.capacity, self.adopt = limits.queue, adopt
        try:
            model, largest = await run(self.worker, open_model)
            seconds = await run(self.worker, best_time, model, 1)
            explainer, no_explainer_reason = await run(self.worker, open_explainer, model)
            jpegs = limits.jpegs == "nvimgcodec" and await run(self.worker, decodes_alike, model)
        except VitrailError as error:
            log.error("not ready: %s", error)
            adopt(Loaded(None, str(error)))
            return
        gc.freeze()  # what exists now is never freed; scanning it in each collection would pause all requests
        self.explainer = explainer
        if model.batches_at_once > 1:
            self.worker.shutdown(wait=False)
            self.worker = ThreadPoolExecutor(model.batches_at_once, "infer")
            self.batcher.at_once = model.batches_at_once
        reason = fallback_reason(model)
        log.info("batches have at most %d images", largest)
        log.info("ready on %s%s: %s", model.provider, f" ({reason})" if reason else "", address)
        explanations = explainer.card if explainer else None
        self.take(model, Loaded(model, reason, explanations, no_explainer_reason, largest, jpegs, seconds))
        adopt(self.loaded)

    def take(self, model: Classifier, loaded: Loaded) -> None:
        """Compute with this model, of which so much is known."""
        self.model, self.loaded, self.batcher.max_size = model, loaded, loaded.largest_batch

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

    async def infer(self, blocks: list[Block]) -> Sequence[Outputs | BatchFailed]:
        """One batch of canvases, in the worker thread; on the event loop where that takes less than the handover."""
        assert self.model is not None
        try:
            if 0 < sum(map(len, blocks)) * self.infer_rate.seconds < INLINE_SECONDS:
                return self.infer_timed(self.model, blocks)
            return await run(self.worker, self.infer_timed, self.model, blocks)
        except run_faults() as error:
            return await self.infer_singly(self.model, blocks, error)

    def infer_timed(self, model: Classifier, blocks: list[Block]) -> list[Outputs]:
        """Run the batch and update the rate, which leaves out the wait for other work."""
        start = perf_counter()
        outputs = run_batch(model, blocks)
        end = perf_counter()
        self.infer_rate.update(end - max(start, self.last_end), sum(map(len, blocks)))
        self.last_end = end
        return outputs

    async def infer_singly(
        self, model: Classifier, blocks: list[Block], error: Exception
    ) -> list[Outputs | BatchFailed]:
        """What can be computed of a batch that failed: each canvas alone; an error is only for the block that has it.

        Where all can, smaller batches are taken from now on. Where even the model's own test image fails, it is lost.
        """
        results = [await run(self.worker, run_singly, model, block) for block in blocks]
        failed = [result for result in results if isinstance(result, BatchFailed)]
        images = sum(map(len, blocks))
        if not failed:
            self.take_smaller_batches(images, error)
        elif len(failed) == len(blocks) and await run(self.worker, is_lost, model):
            self.lose(error)
        return results

    def take_smaller_batches(self, images: int, error: Exception) -> None:
        smaller = max([size for size in BUCKETS if size < bucket(images)], default=1)
        self.batcher.max_size = min(self.batcher.max_size, smaller)
        log.error("a batch of %d images failed (%s): batches have at most %d from now on",
                  images, first_line(error), self.batcher.max_size)  # fmt: skip
        self.loaded = replace(self.loaded, largest_batch=self.batcher.max_size)
        self.adopt(self.loaded)

    def lose(self, error: Exception) -> None:
        if self.model is None:
            return
        reason = f"{self.model.provider} computes nothing any more: {first_line(error)}"
        log.error("not ready: %s", reason)
        self.model = None
        self.adopt(Loaded(None, reason))
        self.on_lost()

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
        outputs = model.predict_parts(blocks)
    ends = list(accumulate(map(len, blocks)))
    return [outputs.rows(end - len(block), end) for block, end in zip(blocks, ends, strict=True)]


def run_singly(model: Classifier, block: Block) -> Outputs | BatchFailed:
    """Each canvas of a block as a batch of its own; the error where one of them fails."""
    try:
        return Outputs.joined([run_batch(model, [canvas[None]])[0] for canvas in block])
    except run_faults() as error:
        return failure(error, 1)


def is_lost(model: Classifier) -> bool:
    """Whether it does not even compute the image that it was checked with when it was loaded."""
    try:
        model.predict(golden_images(model.card.input)[0][None])
    except run_faults():
        return True
    return False


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def run_explainer(explainer: Explainer, canvas: Canvas, index: int) -> NDArray[np.float32]:
    with STAGE["explain"].time():
        evidence: NDArray[np.float32] = explainer.evidence(canvas[None])[0, index]
    return evidence
