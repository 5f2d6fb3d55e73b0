"""The load generator, a process of its own: a `LoadSpec` as JSON on stdin, a `Load` as JSON on stdout."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any, cast

import httptools
import uvloop

from vitrail.bench.core.machine import cpu_usage
from vitrail.bench.serve.processes import cpu_seconds
from vitrail.bench.serve.samples import NO_RESPONSE, Sample

DRAIN_SECONDS = 40.0  # seconds that an open loop waits for requests in flight at its end
MAX_IN_FLIGHT = 4000
REST = 0.05  # seconds before a refused client reconnects


@dataclass(frozen=True)
class LoadSpec:
    """The server, the requests, and their arrival: clients in a closed loop, or a rate of requests in an open loop.

    The closed loop runs `warm_up` seconds before anything counts. The open loop runs its stages, (requests a second,
    seconds) each, without a pause; requests arrive at random (Poisson) and do not wait for responses.
    """

    port: int
    messages: list[str]  # files of whole HTTP requests, sent in turn
    server: list[int]  # processes whose CPU seconds are counted
    clients: int = 0
    warm_up: float = 0.0
    seconds: float = 0.0
    stages: list[tuple[float, float]] = field(default_factory=list)
    seed: int = 0


@dataclass(frozen=True)
class Load:
    """The samples of a load, and the CPU time meanwhile."""

    seconds: float
    server_cpu: float
    client_cpu: float
    system_cpu: float
    samples: list[Sample]


class ClientConnection(asyncio.Protocol):
    """A persistent connection: sends a request, and calls `done` after the whole response."""

    def __init__(self, done: Callable[["ClientConnection", int], None]) -> None:
        self.done = done
        self.waiting = False
        self.due = 0.0
        self.transport: asyncio.Transport | None = None
        self.parser: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the same methods, and is no subclass

    def call(self, message: bytes, due: float) -> None:
        assert self.transport is not None
        self.due, self.waiting = due, True
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        status, stays = self.parser.get_status_code(), self.parser.should_keep_alive()
        self.waiting = False
        if not stays:
            self.close()
        self.done(self, status)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def connection_lost(self, fault: Exception | None) -> None:
        self.transport = None
        if self.waiting:
            self.waiting = False
            self.done(self, NO_RESPONSE)

    @property
    def connected(self) -> bool:
        return self.transport is not None


class LoadLog:
    """The requests and samples of all clients; times count from `start`."""

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        self.messages: Iterator[bytes] = cycle([Path(each).read_bytes() for each in spec.messages])
        self.samples: list[Sample] = []
        self.start = perf_counter()
        self.stopped = False  # nothing more is sent

    def now(self) -> float:
        return perf_counter() - self.start

    async def connect(self, done: Callable[[ClientConnection, int], None]) -> ClientConnection | None:
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: ClientConnection(done), "127.0.0.1", self.spec.port
            )
        except OSError:
            return None
        return client

    def record(self, due: float, status: int) -> None:
        self.samples.append(Sample(due, self.now() - due, status))


async def closed_loop(spec: LoadSpec) -> Load:
    """Each client sends its next request after the last response."""
    log = LoadLog(spec)

    async def one_after_another() -> None:
        while True:
            closed = asyncio.get_running_loop().create_future()

            def done(client: ClientConnection, status: int, closed: "asyncio.Future[None]" = closed) -> None:
                log.record(client.due, status)
                if client.connected and not log.stopped:
                    client.call(next(log.messages), log.now())
                elif not closed.done():
                    closed.set_result(None)

            client = await log.connect(done)
            if client is None:
                log.record(log.now(), NO_RESPONSE)
                await asyncio.sleep(REST)
            else:
                client.call(next(log.messages), log.now())
                await closed

    clients = [asyncio.create_task(one_after_another()) for _ in range(spec.clients)]
    await asyncio.sleep(spec.warm_up)
    log.samples.clear()
    meter = CpuMeter(spec.server)
    begin = log.now()
    await asyncio.sleep(spec.seconds)
    load = meter.read([each._replace(due=each.due - begin) for each in log.samples])
    log.stopped = True
    for one in clients:
        one.cancel()
    return load


async def open_loop(spec: LoadSpec) -> Load:
    """Requests at precomputed random times, on a free connection or a new one."""
    log = LoadLog(spec)
    idle: list[ClientConnection] = []
    connecting: set[asyncio.Task[None]] = set()
    in_flight = 0

    def done(client: ClientConnection, status: int) -> None:
        nonlocal in_flight
        in_flight -= 1
        log.record(client.due, status)
        if client.connected:
            idle.append(client)

    async def connect_and_call(message: bytes, due: float) -> None:
        nonlocal in_flight
        client = await log.connect(done)
        if client is None:
            in_flight -= 1
            log.record(due, NO_RESPONSE)
        else:
            client.call(message, due)

    def call(due: float) -> None:
        nonlocal in_flight
        in_flight += 1
        while idle:
            client = idle.pop()
            if client.connected:
                client.call(next(log.messages), due)
                return
        if in_flight > MAX_IN_FLIGHT:
            in_flight -= 1
            log.record(due, NO_RESPONSE)
            return
        task = asyncio.create_task(connect_and_call(next(log.messages), due))
        connecting.add(task)
        task.add_done_callback(connecting.discard)

    meter = CpuMeter(spec.server)
    for due in arrivals(spec.stages, Random(spec.seed)):
        if (rest := due - log.now()) > 0:
            await asyncio.sleep(rest)
        call(due)
    last = log.now()
    while in_flight and log.now() < last + DRAIN_SECONDS:
        await asyncio.sleep(0.01)
    return meter.read(log.samples)


def arrivals(stages: list[tuple[float, float]], random: Random) -> Iterator[float]:
    """Arrival times of a Poisson process with a rate for each stage."""
    begin = 0.0
    for rate, seconds in stages:
        moment = begin
        while (moment := moment + random.expovariate(rate)) < begin + seconds:
            yield moment
        begin += seconds


class CpuMeter:
    """CPU seconds since its creation: of the server, of this process, and of the machine."""

    def __init__(self, server: list[int]) -> None:
        self.server = server
        self.begin = self.counters()

    def counters(self) -> tuple[float, float, float, float]:
        return perf_counter(), cpu_seconds(self.server), process_time(), cpu_usage().system or 0.0

    def read(self, samples: list[Sample]) -> Load:
        seconds, server, client, system = (now - then for now, then in zip(self.counters(), self.begin, strict=True))
        return Load(seconds, server, client, system, list(samples))


def main() -> None:
    spec = LoadSpec(**json.load(sys.stdin))
    load = uvloop.run(open_loop(spec) if spec.stages else closed_loop(spec))
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()
