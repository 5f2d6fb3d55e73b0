"""A front's program: answers the connections that the hub hands over, with all routes of the application."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import Config

from vitrail.serving.processes.channel import Channel
from vitrail.serving.processes.program import DRAINED, END, READY, STOP, Program

if TYPE_CHECKING:
    from vitrail.serving.http.gate import Gate
    from vitrail.serving.processes.remote import RemoteInference

STATE_TIMEOUT = 5.0  # seconds until an engine says what it knows of the model


async def serve(program: Program) -> None:
    """Until the hub says so or has gone; then requests in flight are answered first."""
    from vitrail.serving.http.gate import Gate
    from vitrail.serving.http.protocol import HttpProtocol
    from vitrail.serving.processes.remote import RemoteInference

    class FrontProtocol(HttpProtocol):
        """Tells the hub how many connections have ended, so that it gives new ones to those that have fewest."""

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            program.board.close_connection()

    gate = Gate(program.board, program.fronts)
    engines = [RemoteInference(program.board, program.engine_address(row), row) for row in program.engine_rows]
    config = Config(
        application(program, gate, engines),
        http=FrontProtocol,
        log_config=None,
        server_header=False,
        timeout_keep_alive=program.keep_alive or 5,
        timeout_graceful_shutdown=program.grace,
    )
    await Connections(program, Server(config), gate, engines).serve()


class Server(uvicorn.Server):
    """Without handlers of signals: these may reach all processes at once, and the hub says when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Connections:
    """The connections from the hub, as uvicorn's protocol has them."""

    def __init__(self, program: Program, server: Server, gate: "Gate", engines: "Sequence[RemoteInference]") -> None:
        self.program, self.server, self.gate, self.engines = program, server, gate, engines
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        running = asyncio.create_task(self.server.serve(sockets=[]))
        while not self.server.started and not running.done():
            await asyncio.sleep(0.01)
        with suppress(TimeoutError):  # an engine that does not start is no reason to answer nothing at all
            async with asyncio.timeout(STATE_TIMEOUT):
                await asyncio.gather(*(engine.is_known.wait() for engine in self.engines))
        self.control = Channel(self.program.control, self.on_message, self.on_end)
        self.control.send(READY)
        self.start(self.program.board.keep_beating())
        await running
        self.control.close()

    def on_message(self, message: bytes, descriptors: list[int]) -> None:
        if message == STOP:
            self.start(self.drain())
        elif message == END:
            self.server.should_exit = True
        for descriptor in descriptors:
            self.start(self.adopt(socket.socket(fileno=descriptor)))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self) -> None:
        """Answer what is in flight; what comes later is refused until all fronts have drained."""
        await self.gate.drain()
        self.control.send(DRAINED)

    def on_end(self) -> None:
        """The hub has gone, which would say when all have drained."""
        self.start(self.drain_and_exit())

    async def drain_and_exit(self) -> None:
        await self.gate.drain()
        self.server.should_exit = True

    async def adopt(self, connection: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(self.protocol, connection)
        except OSError:  # it has been closed meanwhile
            connection.close()
            self.program.board.close_connection()

    def protocol(self) -> Any:
        """As uvicorn makes one for a connection that it has accepted."""
        config, server = self.server.config, self.server
        return config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=server.server_state, app_state=server.lifespan.state
        )


def application(program: Program, gate: "Gate", engines: "Sequence[RemoteInference]") -> Any:
    """The same application as that of one process, with the model elsewhere."""
    from vitrail.serving import tracing
    from vitrail.serving.app import build_app
    from vitrail.serving.bento_config import exporting_traces
    from vitrail.serving.http.middleware import TelemetryMiddleware
    from vitrail.serving.processes.several_engines import SeveralEngines

    identity = (str(program.service["bento_name"]), str(program.service["bento_version"]))
    app = build_app(
        nullcontext,
        program.address,
        gate,
        identity,
        inference=lambda: engines[0] if len(engines) == 1 else SeveralEngines(engines),
        fronts=program.fronts,
        grpc_fault=program.grpc_fault,
    )
    whole = TelemetryMiddleware(app, gate, identity)
    traces = exporting_traces() if program.traces is not None else None
    return tracing.traced(whole, *traces) if traces else whole


if __name__ == "__main__":
    Program.start(serve)
