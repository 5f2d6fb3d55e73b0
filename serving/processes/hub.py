"""The hub, in BentoML's worker: hands connections over to fronts, and starts and replaces them and the engines."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

from starlette.applications import Starlette
from uvicorn.config import HTTP_PROTOCOLS

import vitrail
from vitrail.runtime.gpus import VISIBLE
from vitrail.serving import settings
from vitrail.serving.app import cannot_listen, settings_or_defaults, stop_with_parent
from vitrail.serving.arbiter import restart_delay
from vitrail.serving.engine.engine import STOPPING
from vitrail.serving.http.gate import DRAIN_TIMEOUT, before_signal
from vitrail.serving.http.middleware import unavailable
from vitrail.serving.http.problems import Problem
from vitrail.serving.http.protocol import MAX_LINGERING, refusal, too_many_connections
from vitrail.serving.log_writer import STDOUT
from vitrail.serving.processes.board import Board
from vitrail.serving.processes.channel import Channel, pair
from vitrail.serving.processes.program import CONNECTION, DRAINED, END, METRICS, STOP, VARIABLE, Program

START_TIMEOUT = 20.0  # seconds for fronts to start, before connections are accepted all the same
SPARE = 1  # fronts that have started and wait: to start one takes a second, or more where the cores are busy
STABLE_AFTER = 1.0  # seconds; one that ends sooner after it was ready, or never was, counts towards a crash loop
STOP_TIMEOUT = 5.0  # seconds for a process to end

log = logging.getLogger("bentoml.vitrail")


@dataclass(eq=False)
class Child:
    """A front or an engine: one process after the other in one row of the board."""

    name: str
    row: int
    module: str
    gpu: str | None = None  # the only one that the process sees
    process: Process | None = None
    channel: Channel | None = None
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    ready_since: float = 0.0
    has_drained: asyncio.Event = field(default_factory=asyncio.Event)
    given: int = 0  # connections
    early_deaths: int = 0

    def on_ready(self) -> None:
        self.ready_since = time.monotonic()
        self.is_ready.set()


class Hub:
    """The processes of one server."""

    def __init__(
        self, fronts: int, gpus: Sequence[str], address: str, service: dict[str, Any], traces: dict[str, Any] | None
    ) -> None:
        """With no or one of `gpus`, a single engine uses what it finds."""
        self.address, self.service, self.traces = address, service, traces
        self.count = fronts
        self.fronts = [Child(f"front{number}", number, "front") for number in range(fronts + SPARE)]
        self.answering: list[Child] = []  # of the fronts; the others wait until one of them ends
        self.engines = [Child("engine", len(self.fronts), "engine")]
        if len(gpus) > 1:
            self.engines = [Child(f"engine{number}", len(self.fronts) + number, "engine", gpu)
                            for number, gpu in enumerate(gpus)]  # fmt: skip
        self.board = Board.of(len(self.fronts) + len(self.engines))
        self.folder = Path(os.environ[METRICS])
        # Each refuses those over its share, and is given a few more: one that hangs must not hold ever more.
        self.most = ceil(settings_or_defaults().connections / fronts) + 2 * MAX_LINGERING
        self.grpc_fault = grpc_fault()
        self.stopping = False
        self.keepers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While it is entered, all processes run; SIGTERM lets fronts answer what is in flight first."""
        self.keepers = [asyncio.create_task(self.keep(child)) for child in (*self.engines, *self.fronts)]
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await asyncio.gather(*(front.is_ready.wait() for front in self.fronts))  # the spare one, too
        except TimeoutError:
            log.error("the processes that answer have not started within %g seconds", START_TIMEOUT)
        try:
            with before_signal(signal.SIGTERM, self.drain):
                yield
        finally:
            await self.drain()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def keep(self, child: Child) -> None:
        """Start the process, and another whenever it ends."""
        while not self.stopping:
            process = await self.start(child)
            await process.wait()
            served = time.monotonic() - child.ready_since if child.is_ready.is_set() else 0.0
            child.is_ready.clear()
            self.choose()
            if child.channel is not None:
                child.channel.close()
            self.board.clear(child.row)
            child.process, child.channel, child.given = None, None, 0
            if self.stopping:
                return
            child.early_deaths = child.early_deaths + 1 if served < STABLE_AFTER else 0
            seconds = restart_delay(child.early_deaths)
            when = f" in {seconds:g} s" if seconds else ""
            log.warning("%s (process %d) has ended; another starts%s", child.name, process.pid, when)
            await asyncio.sleep(seconds)

    async def start(self, child: Child) -> Process:
        ours, theirs = pair()
        child.channel = Channel(ours, lambda message, descriptors: self.on_message(child, message), lambda: None)
        board = self.board.inheritable()
        program = Program(
            name=child.name,
            row=child.row,
            fronts=self.count,
            engine_rows=[engine.row for engine in self.engines],
            rows=self.board.count,
            board_descriptor=board,
            control_descriptor=theirs.fileno(),
            folder=str(self.folder),
            address=self.address,
            service=self.service,
            keep_alive=option("--timeout-keep-alive", 5),
            grace=option("--timeout-graceful-shutdown", None),
            traces=self.traces,
            grpc_fault=self.grpc_fault,
        )
        child.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"vitrail.serving.processes.{child.module}"),
            pass_fds=(board, theirs.fileno()),
            env={**os.environ, VARIABLE: program.encode()} | ({VISIBLE: child.gpu} if child.gpu is not None else {}),
            cwd=Path(vitrail.__file__).parents[1],  # a Bento carries the package without installing it
            start_new_session=True,  # Ctrl-C is for the parent of all
        )
        theirs.close()
        return child.process

    def on_message(self, child: Child, message: bytes) -> None:
        if message == DRAINED:
            child.has_drained.set()
        else:
            child.on_ready()
            self.choose()

    def choose(self) -> None:
        """Those that answer go on while they run; a spare one takes the place of one that has ended."""
        ready = [front for front in self.fronts if front.is_ready.is_set()]
        ready.sort(key=lambda front: front not in self.answering)
        self.answering = ready[: self.count]

    def hand_over(self, descriptor: int) -> bool:
        """Give a connection to the front that has fewest; False where none runs, or all have more than they may."""
        ready = [front for front in self.answering if self.open(front) < self.most]
        if not ready:
            return False
        front = min(ready, key=self.open)
        front.given += 1
        assert front.channel is not None
        front.channel.send(CONNECTION, [os.dup(descriptor)])
        return True

    def open(self, front: Child) -> int:
        """The connections that it was given and has not closed."""
        return front.given - self.board.columns["closed"][front.row]

    def no_front(self) -> Problem:
        if self.stopping:
            return unavailable("draining", STOPPING)
        if self.answering:
            return too_many_connections()
        return unavailable("not_ready", "not ready: the processes that answer are starting")

    def tell(self, message: bytes) -> None:
        for front in self.fronts:
            if front.channel is not None:
                front.channel.send(message)

    async def drained(self, front: Child) -> None:
        """Until it says so, or has ended."""

        async def says_so() -> None:
            await front.has_drained.wait()

        await either(says_so(), ended(front.process))

    async def drain(self) -> None:
        """Let the fronts answer what is in flight, then end the engines."""
        if self.stopping:
            return
        self.stopping = True
        self.tell(STOP)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT + STOP_TIMEOUT):
                await asyncio.gather(*(self.drained(front) for front in self.fronts))
        self.tell(END)
        await asyncio.gather(*(end(front.process) for front in self.fronts))
        for engine in self.engines:
            if engine.channel is not None:
                engine.channel.close()
        await asyncio.gather(*(end(engine.process) for engine in self.engines))
        for keeper in self.keepers:
            keeper.cancel()


async def either(*events: Coroutine[Any, Any, None]) -> None:
    """Until one of them has come."""
    tasks = [asyncio.create_task(event) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


class HandOver(asyncio.Protocol):
    """What uvicorn makes for a connection in the hub: gives it away before a byte is read."""

    hub: ClassVar[Hub]

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        """As uvicorn calls it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if transport.get_extra_info("sslcontext") is not None:
            log.error("several processes do not speak TLS: put a proxy before them, or serve with one process")
            transport.abort()
            return
        if self.hub.hand_over(transport.get_extra_info("socket").fileno()):
            transport.abort()  # closes this process's descriptor only
        else:
            transport.write(refusal(self.hub.no_front()))
            transport.close()


def option(name: str, default: int | None) -> int | None:
    """An option of BentoML's worker, which passes it to uvicorn and nowhere else."""
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def grpc_fault() -> str | None:
    """Why the fronts cannot serve gRPC: they share its port, so each would share it with another program too."""
    address = settings.grpc_address()
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    try:
        family, _, _, _, place = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        socket.create_server(place, family=family).close()
    except OSError:
        return cannot_listen(address)
    return None


async def end(process: Process | None) -> None:
    """Wait until it has ended; one that hangs is killed."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await ended(process)
    except TimeoutError:
        assert process is not None
        process.kill()


async def ended(process: Process | None) -> None:
    if process is not None:
        await process.wait()


def hub_app(hub: Hub, bento_lifespan: Callable[[], AbstractAsyncContextManager[object]]) -> Starlette:
    """An application without routes, whose lifespan encloses that of BentoML's own."""
    HandOver.hub = hub
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{HandOver.__name__}"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with bento_lifespan():
            parent_watch = asyncio.create_task(stop_with_parent(os.getppid()))
            async with hub.running():
                yield
            parent_watch.cancel()
        STDOUT.drain()  # uvicorn ends the process by a signal, so no atexit handler runs

    return Starlette(lifespan=lifespan)
