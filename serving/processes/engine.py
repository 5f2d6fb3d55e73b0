"""The engine's program: loads the model, and computes what fronts place in their arenas."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import VitrailError
from vitrail.model_file.described import Outputs
from vitrail.serving import settings, tracing
from vitrail.serving.engine.batcher import BatchFailed
from vitrail.serving.engine.inference import LOADING, Loaded, LocalInference
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.problems import Problem
from vitrail.serving.processes.channel import Channel
from vitrail.serving.processes.memory import Arena, create
from vitrail.serving.processes.messages import HEAD, Kind, Results, Work, error, text_of
from vitrail.serving.processes.program import READY, Program
from vitrail.serving.processes.state import write

if TYPE_CHECKING:
    from vitrail.serving.processes.board import Board

log = logging.getLogger("bentoml.vitrail")

NANOSECONDS = 1_000_000_000
BACKLOG = 64
POLL_INTERVAL = 0.05  # seconds


class Engine:
    """One model and the fronts it computes for."""

    def __init__(self, board: "Board", on_lost: Callable[[], None]) -> None:
        """`on_lost` is called once nothing can be computed any more."""
        self.board = board
        self.inference = LocalInference(self.publish, on_lost)
        self.clients: set[Client] = set()
        self.state = LOADING

    def publish(self, caller: str) -> None:
        """What waits, for the admission of the fronts."""
        batcher = self.inference.batcher
        self.board.publish("waiting", batcher.waiting_size)
        self.board.publish("nanoseconds", round(self.inference.rate * NANOSECONDS))
        self.board.publish_caller("infer", caller, batcher.turns.waiting.get(caller, 0))

    def adopt(self, loaded: Loaded) -> None:
        self.state = loaded
        for client in self.clients:
            client.send_state()

    async def load(self, address: str) -> None:
        try:
            limits = settings.read()
        except VitrailError as reason:
            log.error("not ready: %s", reason)
            self.adopt(Loaded(None, str(reason)))
            return
        await self.inference.load(limits, address, self.adopt)

    def accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        self.clients.add(Client(self, connection))


class Client:
    """A front: its arena, and its requests that are being computed."""

    def __init__(self, engine: Engine, connection: socket.socket) -> None:
        self.engine = engine
        self.arena: Arena | None = None
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.channel = Channel(connection, self.on_message, self.on_end)
        self.send_state()

    def send_state(self) -> None:
        self.channel.send(HEAD.pack(Kind.STATE, 0), [write(self.engine.state)])

    def on_message(self, message: bytes, descriptors: list[int]) -> None:
        kind = message[0]
        if kind == Kind.ATTACH:
            self.arena = Arena(descriptors[0], int(text_of(message)))
            os.close(descriptors[0])  # the memory stays while it is mapped
        elif kind == Kind.CANCEL:
            _, number = HEAD.unpack_from(message)
            if task := self.tasks.get(number):
                task.cancel()
        else:
            work = Work.decode(message)
            task = self.tasks[work.id] = asyncio.create_task(self.answer(work))
            task.add_done_callback(lambda _: self.tasks.pop(work.id))

    def on_end(self) -> None:
        """Nothing of a front that has gone is computed any more."""
        self.engine.clients.discard(self)
        for task in self.tasks.values():
            task.cancel()

    async def answer(self, work: Work) -> None:
        """Every request has one answer, also where it was cancelled: only then its memory is used again."""
        CALLER.set(work.caller)
        try:
            with tracing.continued(work.trace, work.span):
                tables = await self.compute(work)
        except asyncio.CancelledError:
            self.channel.send(error(Kind.FAILED, work.id, "cancelled"))
        except Problem as problem:
            self.channel.send(error(Kind.BUSY, work.id, str(problem)))
        except BatchFailed as fault:
            self.channel.send(error(Kind.FAILED, work.id, str(fault)))
        except Exception as fault:
            log.exception("what a front sent cannot be computed")
            self.channel.send(error(Kind.FAILED, work.id, f"{type(fault).__name__}: {fault}"))
        else:
            self.deliver(work, tables)

    async def compute(self, work: Work) -> list[NDArray[np.float32]]:
        assert self.arena is not None
        inference, images = self.engine.inference, self.arena.array(work.offset, work.shape)
        if work.kind == Kind.EXPLAIN:
            return [await inference.explain(images[0], work.label)]
        outputs: Outputs
        if work.kind == Kind.PREDICT:
            step = max(1, work.label)
            outputs = await inference.predict([images[start : start + step] for start in range(0, len(images), step)])
        else:
            outputs = await inference.predict_resized(images)
        return list(outputs.columns.values())

    def deliver(self, work: Work, tables: list[NDArray[np.float32]]) -> None:
        """Write the results over the images; where they are larger, into memory of their own."""
        assert self.arena is not None
        results = Results([table.shape for table in tables])
        data = np.concatenate([np.ascontiguousarray(table, np.float32).reshape(-1) for table in tables]).view(np.uint8)
        if results.size <= work.size:
            self.arena.array(work.offset, data.shape)[:] = data
            self.channel.send(results.encode(work.id))
        else:
            descriptor = create(results.size)
            os.pwrite(descriptor, data.data, 0)
            self.channel.send(results.encode(work.id), [descriptor])


async def serve(program: Program) -> None:
    """Until the hub has gone, and every front; or nothing can be computed any more, and the hub starts another."""
    stop, lost = asyncio.Event(), asyncio.Event()
    control = Channel(program.control, lambda message, descriptors: None, stop.set)
    engine = Engine(program.board, lost.set)
    with listening(engine, program.engine_address(program.row)):
        loading = asyncio.create_task(engine.load(program.address))
        loading.add_done_callback(lambda _: control.send(READY))
        while not lost.is_set() and (engine.clients or not stop.is_set()):
            program.board.beat()
            await asyncio.sleep(POLL_INTERVAL)
    await loading
    await engine.inference.close()


@contextmanager
def listening(engine: Engine, path: Path) -> Iterator[None]:
    """Fronts may connect at this path; one that is left of an engine that was killed is replaced."""
    loop = asyncio.get_running_loop()
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connections:
        connections.bind(os.fspath(path))
        connections.listen(BACKLOG)
        connections.setblocking(False)
        loop.add_reader(connections.fileno(), partial(engine.accept, connections))
        try:
            yield
        finally:
            loop.remove_reader(connections.fileno())


if __name__ == "__main__":
    Program.start(serve)
