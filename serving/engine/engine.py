"""The model behind the routes: loaded, proved and warmed in the background, then asked off the event loop."""

import asyncio
import gc
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import ParamSpec, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ImageError, ImageTooLarge, VitrailError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit, read_header
from vitrail.images.decode_cost import Header
from vitrail.model_file.classifier import Classifier, Outputs
from vitrail.model_file.explainer import Explainer
from vitrail.runtime.providers import PROVIDERS, usable_cores
from vitrail.serving import settings
from vitrail.serving.engine.batcher import Batcher, QueueFull, bucket
from vitrail.serving.engine.decoder_process import DecoderProcesses
from vitrail.serving.engine.fair_queue import FairQueue, Job, Slices
from vitrail.serving.engine.rate import Line, Pace
from vitrail.serving.engine.start_up import open_explainer, open_model, slower_than_hoped
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.middleware import DECODE_BYTES, READY, STAGE, WAITING, refused
from vitrail.serving.http.problems import Problem

P = ParamSpec("P")
T = TypeVar("T")
Canvas = NDArray[np.uint8]  # [size, size, 3]
Block = NDArray[np.uint8]  # [n, size, size, 3]: canvases that came together

STOPPING = "the server is stopping"
# What takes no longer than this is done where it is asked for: to hand it over would cost more, and others wait less.
AT_ONCE = 0.002  # seconds for a batch
SMALL_FILE = 8192  # bytes
SMALL_IMAGE = 128 * 128  # pixels
SMALL_HEADER = 100  # parts: markers, chunks, blocks of metadata
QUICKLY_READ = 16_384  # bytes of a body that are read faster than handed to another thread
HEADERS_AT_ONCE = 262_144  # bytes of files whose headers are read where they are asked for: 3 ms for the worst of them…
WEBP_WEIGHT = 8  # …where a byte of WebP counts as so many: prefix codes are read for how many there are
SHORT_LINE = 8  # images that may wait however long a slow model takes for them: callers come in little crowds
REST = 0.1  # seconds until a caller is refused: those who come back at once would cost half of the throughput
MOST_EXPLAINED = 16  # images that may wait for their evidence

log = logging.getLogger("bentoml.vitrail")  # below the logger that BentoML's servers show


class Engine:
    """One model, the threads that decode for it, and the one thread that runs it, on as many cores as pay.

    Images wait in two places, for a decoder and for the lane, under one limit: what is let in to be decoded has
    its place in the lane's line already, so no decoding is ever thrown away because that line is full. The line is
    full when the next caller's turn will take longer than it should wait, unless few wait; or when too many wait.
    """

    def __init__(self, door: Gate) -> None:
        self.door = door
        self.deadline = settings.DEADLINE
        self.longest_wait = settings.WAIT
        self.quick, self.costly = Line(), Line()
        self.infer_pace = Pace()
        self.batcher: Batcher[Block, Outputs] = Batcher(self.infer, settings.QUEUE, size=len)
        WAITING.labels("decode").set_function(lambda: self.quick.images + self.costly.images)
        WAITING.labels("infer").set_function(lambda: self.batcher.length)
        self.decoder_count = usable_cores()
        self.costly_count = max(1, self.decoder_count // 2)
        budget = settings.DECODE_MEMORY * settings.MEGABYTE
        self.decoders = FairQueue("decode", self.decoder_count, budget, costly_threads=self.costly_count)
        self.processes = DecoderProcesses()
        self.readers = FairQueue("read", 1)  # one: it holds the interpreter's lock, and decoders hardly do
        DECODE_BYTES.set_function(lambda: self.decoders.reserved)
        self.slices = Slices()
        self.lane = ThreadPoolExecutor(1, "infer")
        self.model: Classifier | None = None
        self.reason: str | None = "the model is loading"
        self.explainer: Explainer | None = None
        self.no_explainer = "the model is loading"
        self.explaining = asyncio.Lock()
        self.unexplained = 0
        self.resizing = asyncio.Lock()
        self.unsized = 0

    async def load(self, address: str) -> None:
        """Make ready; a model that cannot be served leaves the engine unready, with its reason."""
        try:
            limits = settings.read()
            self.deadline, self.longest_wait = limits.deadline, limits.wait
            self.batcher.capacity, self.decoders.budget = limits.queue, limits.decode_memory
            model, self.batcher.largest = await run(self.lane, open_model)
            self.explainer, self.no_explainer = await run(self.lane, open_explainer, model)
        except VitrailError as fault:
            self.reason = str(fault)
            log.error("not ready: %s", fault)
            return
        gc.freeze()  # all that is here now stays; looking through it for rubbish again and again would stop everybody
        self.model, self.reason = model, slower_than_hoped(model)
        READY.labels(model.provider).set(1)
        log.info("images are computed in batches of at most %d", self.batcher.largest)
        log.info("ready on %s%s: %s", model.provider, f" ({self.reason})" if self.reason else "", address)

    def ready(self) -> Classifier:
        """The model, for a request that begins."""
        if not self.door.open:
            raise refused(503, "draining", STOPPING)
        return self.loaded()

    def loaded(self) -> Classifier:
        """The model, also for a request that was running when the server was told to stop."""
        if self.model is None:
            raise refused(503, "not_ready", f"not ready: {self.reason}")
        return self.model

    async def admit(self) -> None:
        """Refuse who would wait too long, before a body is read for nothing; who is in is not sent away for that."""
        if self.waiting() >= self.batcher.capacity or self.takes_too_long():
            refusal = self.busy()
            await asyncio.sleep(REST)
            raise refusal

    def takes_too_long(self) -> bool:
        return self.waiting() >= SHORT_LINE and self.expected_wait() > self.longest_wait

    def require_room(self, images: int) -> None:
        if self.waiting() + images > self.batcher.capacity:
            raise self.busy()

    def waiting(self) -> int:
        """Images that are inside and not yet computed, but for those that the lane has."""
        return self.quick.images + self.costly.images + self.batcher.length

    def busy(self) -> Problem:
        return refused(503, "busy", f"{self.waiting()} images are waiting already; try again in a moment")

    def expected_wait(self) -> float:
        """Seconds until the next caller's turn, at the pace of the latest; none where nobody waits."""
        to_infer = (self.quick.callers + self.batcher.length) * self.infer_pace.seconds
        return self.quick.seconds(self.decoder_count) + to_infer

    def require_costly_room(self, images: int) -> None:
        """Refuse costly images that would wait too long, or leave others none of the line."""
        line = self.costly
        late = line.images >= SHORT_LINE and line.seconds(self.costly_count) > self.longest_wait
        if late or (line.images and 2 * (line.images + images) > self.batcher.capacity):
            raise self.busy()

    async def canvases(self, images: Sequence[bytes]) -> list[Canvas | ImageError]:
        """Each image as the model's canvas, or what is wrong with it; all are refused where not all have room.

        What each will hold is known from its header. It is reserved when its turn comes, and freed when it is decoded,
        so a request with many images needs no more room at once than one.
        """
        rule = self.loaded().card.input
        self.require_room(len(images))

        def canvas(image: bytes, header: Header, line: Line) -> Canvas | ImageError:
            start = perf_counter()
            try:
                return self.processes.fit(image, rule) if line is self.costly else fit(image, rule, header)
            except ImageError as fault:
                return alone(fault)
            finally:
                seconds = perf_counter() - start
                STAGE["decode"].observe(seconds)
                line.pace.saw(seconds)

        with self.quick.joined(len(images)):
            found = await self.headers(images, rule)
            if len(images) == 1 and is_small(only := found[0], images[0]):
                return [canvas(images[0], only, self.quick)]
        good = [(data, header) for data, header in zip(images, found, strict=True) if isinstance(header, Header)]
        jobs = []
        for data, header in good:
            costly = header.is_costly(rule)
            work = partial(canvas, data, header, self.costly if costly else self.quick)
            jobs.append(Job(work, header.peak(rule), costly))
        any_costly = any(job.costly for job in jobs)
        if any_costly:
            self.require_costly_room(len(jobs))
        with (self.costly if any_costly else self.quick).joined(len(jobs)):
            decoded = iter(await self.decoders.run_all(jobs))  # cancelled, this leaves what no thread has begun
        return [next(decoded) if isinstance(header, Header) else header for header in found]

    async def read(self, parse: Callable[[], T], length: int) -> T:
        """What is in a body of this length; where it takes long to read, others are answered meanwhile."""
        return await (self.slices.run(parse) if length <= QUICKLY_READ else self.readers.run(parse))

    async def headers(self, images: Sequence[bytes], rule: InputRule) -> list[Header | ImageError]:
        """What each header says; read in a thread, or where it takes less to read them here, between other callers."""
        if sum(map(header_weight, images)) > HEADERS_AT_ONCE:
            return await self.readers.run(lambda: [self.header(image, rule) for image in images])
        if len(images) == 1:
            return [self.header(images[0], rule)]
        return [await self.slices.run(partial(self.header, image, rule)) for image in images]

    def header(self, image: bytes, rule: InputRule) -> Header | ImageError:
        """What the image's header says; an error where it could never be decoded within the memory for that."""
        start = perf_counter()
        try:
            header = read_header(image)
        except ImageError as fault:
            STAGE["decode"].observe(perf_counter() - start)  # nothing more of it will be decoded
            return alone(fault)
        if (needed := header.peak(rule)) > self.decoders.budget:
            width, height = header.size
            megabytes, limit = -(-needed // settings.MEGABYTE), self.decoders.budget // settings.MEGABYTE
            return ImageTooLarge(
                f"to decode the {header.kind} image of {width}×{height} takes {megabytes} MB; at most {limit} MB are "
                "used for decoding"
            )
        return header

    async def predict(self, canvases: Sequence[Canvas]) -> Outputs:
        """What the model says of uint8 [size, size, 3] canvases: a row for each, whatever batches they were in."""
        return await self.predict_blocks([canvas[None] for canvas in canvases])

    async def predict_array(self, images: NDArray[np.uint8]) -> Outputs:
        """What the model says of uint8 [N, H, W, 3]: canvases in the batches of all, others resized in the graph."""
        size = self.loaded().card.input.size
        if images.shape[1:3] != (size, size):
            return await self.predict_alone(images)
        step = self.batcher.largest
        return await self.predict_blocks([images[start : start + step] for start in range(0, len(images), step)])

    async def predict_blocks(self, blocks: list[Block]) -> Outputs:
        try:
            return Outputs.joined(await self.batcher.submit(blocks))
        except QueueFull as fault:
            raise refused(503, "busy", f"{fault}; try again in a moment") from fault

    async def predict_alone(self, images: NDArray[np.uint8]) -> Outputs:
        """One [1, H, W, 3] after the other, one caller after the other: canvases wait for no more than one of them."""
        if self.unsized + len(images) > self.batcher.capacity:
            raise refused(503, "busy", f"{self.unsized} images wait to be resized; try again in a moment")
        self.unsized += len(images)
        try:
            async with self.resizing:
                model = self.loaded()
                return Outputs.joined([(await run(self.lane, answers_of, model, [each[None]]))[0] for each in images])
        finally:
            self.unsized -= len(images)

    async def infer(self, blocks: list[Block]) -> list[Outputs]:
        """One batch of canvases; by the lane, unless a small model answers sooner than the lane would be told."""
        if 0 < sum(map(len, blocks)) * self.infer_pace.seconds < AT_ONCE:
            return self.paced(self.loaded(), blocks)
        return await run(self.lane, self.paced, self.loaded(), blocks)

    def paced(self, model: Classifier, blocks: list[Block]) -> list[Outputs]:
        """The answers, and how long they took; what else the lane had to do before is not their pace."""
        start = perf_counter()
        answers = answers_of(model, blocks)
        self.infer_pace.saw(perf_counter() - start, sum(map(len, blocks)))
        return answers

    def explains(self) -> Explainer:
        """The explain file beside the model."""
        if self.explainer is None:
            raise Problem(404, "no_explain_graph", self.no_explainer)
        return self.explainer

    async def evidence(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        """Where on the canvas the evidence [h, w] for the class of this index lies.

        Only one image at a time goes to the lane for this, so labels never wait for more than one explanation.
        """
        if self.unexplained >= MOST_EXPLAINED:
            raise refused(503, "busy", f"{self.unexplained} images wait to be explained; try again in a moment")
        self.unexplained += 1
        try:
            async with self.explaining:
                return await run(self.lane, evidence_of, self.explains(), canvas, index)
        finally:
            self.unexplained -= 1

    async def close(self) -> None:
        await self.batcher.close()
        self.decoders.shutdown()
        self.processes.close()
        self.readers.shutdown()
        self.lane.shutdown(wait=False, cancel_futures=True)


def alone(fault: ImageError) -> ImageError:
    """The error without the frames that it came through: they hold the image, until the next garbage collection."""
    fault.__cause__ = fault.__context__ = None
    return fault.with_traceback(None)


def header_weight(data: bytes) -> int:
    """How many bytes of a file count where its header is to be read."""
    return len(data) * WEBP_WEIGHT if data[8:12] == b"WEBP" else len(data)


def is_small(header: Header | ImageError, data: bytes) -> TypeGuard[Header]:
    """Whether an image has so few bytes, pixels and parts that it is decoded before a thread would have begun."""
    return (
        isinstance(header, Header)
        and len(data) <= SMALL_FILE
        and header.pixels <= SMALL_IMAGE
        and header.parts <= SMALL_HEADER
    )


def run(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))


def answers_of(model: Classifier, blocks: list[Block]) -> list[Outputs]:
    """Blocks as one batch [N, size, size, 3] through the model; the answers to each, a row a canvas."""
    with STAGE["infer"].time():
        batch = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        answers = model.predict(filled(batch, batch_size(model, len(batch))))
    ends = list(accumulate(map(len, blocks)))
    return [answers.rows(end - len(block), end) for block, end in zip(blocks, ends, strict=True)]


def evidence_of(explainer: Explainer, canvas: Canvas, index: int) -> NDArray[np.float32]:
    with STAGE["explain"].time():
        evidence: NDArray[np.float32] = explainer.evidence(canvas[None])[0, index]
    return evidence


def batch_size(model: Classifier, count: int) -> int:
    """A CPU takes any size as it is; elsewhere each size has its own plan, so only the buckets' are used."""
    return count if model.provider == PROVIDERS["cpu"] else bucket(count)


def filled(batch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The batch with black canvases after it, up to this size."""
    return np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)]) if len(batch) < size else batch
