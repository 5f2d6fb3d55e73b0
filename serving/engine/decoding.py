"""Encoded images → canvases: on the event loop, in threads, or in processes, by what an image costs."""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ImageError, ImageTooLarge
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit, read_header
from vitrail.images.decode_cost import Header
from vitrail.images.nvimgcodec import NvImageCodec, takes
from vitrail.runtime.providers import usable_cores
from vitrail.serving import settings
from vitrail.serving.engine.admission import Admission, DecodeQueue
from vitrail.serving.engine.decoder_process import DecoderProcesses
from vitrail.serving.engine.fair_queue import FairQueue, Job, TimeSlices
from vitrail.serving.http.middleware import DECODE_BYTES, STAGE

T = TypeVar("T")
Canvas = NDArray[np.uint8]  # [size, size, 3]

# What takes no longer than this is done on the event loop: a thread would cost more, and delay others no less.
SMALL_FILE = 8192  # bytes
SMALL_IMAGE = 128 * 128  # pixels
SMALL_HEADER = 100  # parts: markers, chunks, blocks of metadata
INLINE_BODY = 16_384  # bytes of a body that is parsed on the event loop
INLINE_HEADER_BYTES = 262_144  # bytes of files whose headers are read on the event loop: 3 ms for the worst of them…
RGB_COPY = 3  # bytes a pixel
WEBP_WEIGHT = 8  # …where a byte of WebP counts as this many: its prefix codes are parsed to be counted


class ImageDecoder:
    """Decodes the images of all requests, within a budget of memory; requests take turns."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        budget = settings.DECODE_MEMORY * settings.MEGABYTE
        self.pool = FairQueue(
            "decode",
            admission.quick.threads,
            budget,
            costly_threads=admission.costly.threads,
            cores=cores if (cores := usable_cores()) > admission.quick.threads else None,
            siblings=admission.siblings,
        )
        self.processes = DecoderProcesses()
        self.parsers = FairQueue("parse", 1)  # one: parsing holds the interpreter's lock, and decoding hardly does
        self.slices = TimeSlices()
        self.jpegs: NvImageCodec | None = None  # in place of Pillow's decoder, for those that it takes
        DECODE_BYTES.set_function(lambda: self.pool.reserved + admission.siblings.others("reserved"))

    async def decode(self, images: Sequence[bytes], rule: InputRule) -> list[Canvas | ImageError]:
        """Each image as a canvas, or its error; all are refused where not all have room.

        The memory that an image needs is known from its header. It is reserved when the image's turn comes and freed
        once it is decoded, so a request with many images needs no more at once than a request with one.
        """
        self.admission.require_room(len(images))
        quick, costly = self.admission.quick, self.admission.costly
        with quick.track(len(images)):
            headers = await self.headers(images, rule)
            if len(images) == 1 and is_small(only := headers[0], images[0]):
                return [self.canvas(images[0], only, rule, quick)]
        jobs = []
        for image, header in zip(images, headers, strict=True):
            if isinstance(header, Header):
                is_costly = header.is_costly(rule)
                work = partial(self.canvas, image, header, rule, costly if is_costly else quick)
                jobs.append(Job(work, self.peak(header, rule), is_costly))
        any_costly = any(job.costly for job in jobs)
        if any_costly:
            self.admission.require_costly_room(len(jobs))
        with (costly if any_costly else quick).track(len(jobs)):
            decoded = iter(await self.pool.run_all(jobs))  # if cancelled, drops the jobs that have not started
        return [next(decoded) if isinstance(header, Header) else header for header in headers]

    def canvas(self, image: bytes, header: Header, rule: InputRule, queue: DecodeQueue) -> Canvas | ImageError:
        start = perf_counter()
        try:
            is_costly = queue is self.admission.costly
            return self.processes.fit(image, rule) if is_costly else fit(image, rule, header, self.jpegs)
        except ImageError as error:
            return without_traceback(error)
        finally:
            seconds = perf_counter() - start
            STAGE["decode"].observe(seconds)
            queue.rate.update(seconds)

    def peak(self, header: Header, rule: InputRule) -> int:
        """The most bytes held for an image; another decoder than Pillow's hands over a copy of it."""
        copied = self.jpegs is not None and takes(header, rule)
        return header.peak(rule) + (RGB_COPY * header.pixels if copied else 0)

    async def headers(self, images: Sequence[bytes], rule: InputRule) -> list[Header | ImageError]:
        """The header of each image: read in a thread, or in slices on the event loop where that takes less."""
        if sum(map(header_weight, images)) > INLINE_HEADER_BYTES:
            return await self.parsers.run(lambda: [self.header(image, rule) for image in images])
        if len(images) == 1:
            return [self.header(images[0], rule)]
        return [await self.slices.run(partial(self.header, image, rule)) for image in images]

    def header(self, image: bytes, rule: InputRule) -> Header | ImageError:
        """The image's header, or an error; also where decoding it would exceed the memory budget."""
        start = perf_counter()
        try:
            header = read_header(image)
        except ImageError as error:
            STAGE["decode"].observe(perf_counter() - start)  # it will not be decoded any further
            return without_traceback(error)
        if (needed := header.peak(rule)) > self.pool.budget:
            width, height = header.size
            megabytes, limit = -(-needed // settings.MEGABYTE), self.pool.budget // settings.MEGABYTE
            return ImageTooLarge(
                f"decoding the {header.kind} image of {width}×{height} takes {megabytes} MB; "
                f"decoding may use at most {limit} MB"
            )
        return header

    async def parse(self, parse: Callable[[], T], length: int) -> T:
        """Parse a body of this length; a long one in a thread, so that other requests are answered meanwhile."""
        return await (self.slices.run(parse) if length <= INLINE_BODY else self.parsers.run(parse))

    async def run(self, work: Callable[[], T], images: int) -> T:
        """Work on images that are decoded already, in the decoders' turn; refused where not all have room."""
        self.admission.require_room(images)
        with self.admission.quick.track(images):
            return await self.pool.run(work)

    def close(self) -> None:
        self.pool.shutdown()
        self.processes.close()
        self.parsers.shutdown()


def without_traceback(error: ImageError) -> ImageError:
    """The error without its frames: they would hold the image until the next garbage collection."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def header_weight(data: bytes) -> int:
    """The bytes of a file, weighted by the time that reading its header takes."""
    return len(data) * WEBP_WEIGHT if data[8:12] == b"WEBP" else len(data)


def is_small(header: Header | ImageError, data: bytes) -> TypeGuard[Header]:
    """Whether an image is decoded in less time than it takes to start a thread's job."""
    return (
        isinstance(header, Header)
        and len(data) <= SMALL_FILE
        and header.pixels <= SMALL_IMAGE
        and header.parts <= SMALL_HEADER
    )
