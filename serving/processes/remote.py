"""The model in another process: a front places canvases in its arena, and an engine computes them there."""

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import VitrailError
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.serving import settings, tracing
from vitrail.serving.engine.batcher import BatchFailed
from vitrail.serving.engine.inference import Adopt, Block, Canvas, Loaded
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.gate import MAX_HELD_BYTES
from vitrail.serving.http.middleware import RETRY, unavailable
from vitrail.serving.http.problems import Problem
from vitrail.serving.processes.channel import Channel, close_all
from vitrail.serving.processes.memory import Arena, Region, create
from vitrail.serving.processes.messages import HEAD, Kind, Results, Work, error, text_of
from vitrail.serving.processes.small_model import SmallModel
from vitrail.serving.processes.state import read
from vitrail.serving.settings import Settings

if TYPE_CHECKING:
    from vitrail.serving.processes.board import Board

RECONNECT = 0.05  # seconds
NANOSECONDS = 1_000_000_000
GONE = Loaded(None, "the process that computes has ended; another is starting")


class EngineGone(VitrailError):
    """What was to be computed is lost with the process that had it."""


class Pending:
    """A request that an engine computes, and its memory."""

    __slots__ = ("future", "region")

    def __init__(self, future: "asyncio.Future[list[NDArray[np.float32]]]", region: Region) -> None:
        self.future, self.region = future, region


class RemoteInference:
    """The front's side of an engine: sends work, and connects anew where the engine was replaced."""

    def __init__(self, board: "Board", address: Path, row: int) -> None:
        """`row` is the engine's on the board."""
        self.board, self.address = board, address
        self.engine_row = row
        self.capacity = settings.QUEUE
        self.model: DescribedModel | None = None
        self.adopt: Adopt = lambda loaded: None
        self.arena: Arena | None = None
        self.row = 0  # bytes of results, an image
        self.channel: Channel | None = None
        self.numbers = itertools.count(1)
        self.is_known = asyncio.Event()  # whether there is a model, and which
        self.pending: dict[int, Pending] = {}
        self.images = 0  # of all pending requests
        self.gone: Callable[[str], VitrailError] = partial(unavailable, "not_ready")  # an error with this detail
        self.connecting: asyncio.Task[None] | None = None
        self.small = SmallModel()

    @property
    def waiting_size(self) -> int:
        return self.board.columns["waiting"][self.engine_row]

    @property
    def waiting(self) -> Mapping[str, int]:
        return self.board.callers("infer")

    @property
    def rate(self) -> float:
        return self.board.columns["nanoseconds"][self.engine_row] / NANOSECONDS

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        self.capacity, self.adopt = limits.queue, adopt
        self.connect()

    def connect(self) -> None:
        self.connecting = asyncio.create_task(self.connected())

    async def connected(self) -> None:
        """Try until an engine listens."""
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                connection.connect(os.fspath(self.address))
            except OSError:
                connection.close()
                await asyncio.sleep(RECONNECT)
            else:
                self.channel = Channel(connection, self.on_message, self.on_end)
                return

    def on_message(self, message: bytes, descriptors: list[int]) -> None:
        kind, number = HEAD.unpack_from(message)
        if kind == Kind.STATE:
            self.take_over(descriptors[0])
        elif pending := self.pending.pop(number, None):
            self.finish(pending, kind, message, descriptors)
        close_all(descriptors)

    def take_over(self, descriptor: int) -> None:
        """Adopt what the engine knows; a model needs an arena for as many canvases as may wait, and for bodies."""
        assert self.channel is not None
        loaded = served(read(descriptor))
        self.model = loaded.model
        if loaded.model is not None:
            rule = loaded.model.card.input
            canvas = 3 * (rule.vectors * rule.patch**2 if rule.patch and rule.is_native else rule.size**2)
            self.row = row_bytes(loaded.model)
            size = 2 * self.capacity * max(canvas, self.row) + 2 * MAX_HELD_BYTES
            memory = create(size)
            self.arena = Arena(memory, size)
            self.channel.send(error(Kind.ATTACH, 0, str(size)), [memory])
        self.small.adopt(loaded)
        self.adopt(loaded)
        self.is_known.set()

    def on_end(self) -> None:
        """The engine has gone: what it had to compute is lost."""
        self.channel, self.model = None, None
        self.small.close()
        self.adopt(GONE)
        pending, self.pending = self.pending, {}
        for each in pending.values():
            if not each.future.done():
                each.future.set_exception(self.gone(f"{GONE.reason}; try again in a moment"))
        self.connect()

    def finish(self, pending: Pending, kind: int, message: bytes, descriptors: Sequence[int]) -> None:
        future = pending.future
        if not future.done():
            if kind == Kind.DONE:
                future.set_result(self.tables(pending.region, message, descriptors))
            elif kind == Kind.BUSY:  # the engine has counted it
                future.set_exception(Problem(503, "busy", text_of(message), RETRY))
            else:
                future.set_exception(BatchFailed(text_of(message)))
        assert self.arena is not None
        self.arena.release(pending.region)

    def tables(self, region: Region, message: bytes, descriptors: Sequence[int]) -> list[NDArray[np.float32]]:
        """Copies of the results."""
        assert self.arena is not None
        results = Results.decode(message)
        if descriptors:
            data = os.pread(descriptors[0], results.size, 0)
        else:
            data = self.arena.bytes[region.offset : region.offset + results.size]
        tables, offset = [], 0
        for shape in results.shapes:
            tables.append(np.ndarray(shape, np.float32, data, offset))
            offset += tables[-1].nbytes
        return tables

    async def predict(self, blocks: list[Block]) -> Outputs:
        if (own := self.small.inference_for(sum(map(len, blocks)))) is not None:
            return await own.predict(blocks)
        if len({block.shape[1:] for block in blocks}) == 1:
            images = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
            return await self.outputs(Kind.PREDICT, images, len(blocks[0]))
        return Outputs.joined(await asyncio.gather(*(self.outputs(Kind.PREDICT, each, len(each)) for each in blocks)))

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        return await self.outputs(Kind.RESIZE, images)

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        return (await self.compute(Kind.EXPLAIN, canvas[None], index))[0]

    async def outputs(self, kind: Kind, images: NDArray[np.uint8], together: int = 0) -> Outputs:
        names = self.require_model().task.outputs
        return Outputs(dict(zip(names, await self.compute(kind, images, together), strict=True)))

    def require_model(self) -> DescribedModel:
        if self.model is None:
            raise self.gone(f"not ready: {GONE.reason}")
        return self.model

    async def compute(self, kind: Kind, images: NDArray[np.uint8], index: int = 0) -> list[NDArray[np.float32]]:
        """Place images [n, h, w, 3] in the arena, and wait for what the engine makes of them."""
        self.require_model()
        assert self.channel is not None
        assert self.arena is not None
        channel, arena = self.channel, self.arena
        region = arena.allocate(max(images.nbytes, len(images) * self.row))
        if region is None:
            raise unavailable("busy", "the memory for images of other requests is full; try again in a moment")
        arena.array(region.offset, images.shape)[:] = images
        number = next(self.numbers) & 0xFFFFFFFF
        future: asyncio.Future[list[NDArray[np.float32]]] = asyncio.get_running_loop().create_future()
        self.pending[number] = Pending(future, region)
        trace, span = tracing.identity()
        count, height, width, _ = images.shape
        work = Work(kind, number, region.offset, region.size, count, height, width, index, trace, span, CALLER.get())
        channel.send(work.encode())
        self.images += count
        try:
            return await future
        except asyncio.CancelledError:
            channel.send(HEAD.pack(Kind.CANCEL, number))
            raise
        finally:
            self.images -= count

    async def close(self) -> None:
        self.small.close()
        if self.connecting is not None:
            self.connecting.cancel()
        if self.channel is not None:
            self.channel.close()


def served(loaded: Loaded) -> Loaded:
    """What fronts hand over is uint8; a model that takes none of that is not served by several processes."""
    if loaded.model is None or loaded.model.card.input.width is None:
        return loaded
    return Loaded(None, "a model of vectors is served by one process: leave --processes out")


def row_bytes(model: DescribedModel) -> int:
    """Of the outputs for one image, as far as they are fixed."""
    fixed = ([axis for axis in model.shapes[name][1:] if isinstance(axis, int)] for name in model.task.outputs)
    return sum(4 * prod(axes) for axes in fixed)
