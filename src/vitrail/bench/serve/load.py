"""The load generator, a process of its own: an order as JSON on stdin, what the callers saw as JSON on stdout."""

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

from vitrail.bench.core.machine import work_now
from vitrail.bench.serve.family import cpu_seconds
from vitrail.bench.serve.samples import NOBODY, Sample

LAST_ANSWERS = 40.0  # seconds that an open loop waits for what is under way when its time is over
MOST_CALLERS = 4000
REST = 0.05  # seconds before a caller who was not let in tries again


@dataclass(frozen=True)
class Order:
    """Whom to call, with what, and how: so many callers who each wait for their answer, or so many calls a second.

    The closed loop runs `warm_up` seconds before anything counts. The open one runs its stages, (calls a second,
    seconds) each, without a pause; callers come at random moments, and nobody waits for anybody else's answer.
    """

    port: int
    messages: list[str]  # files of whole HTTP requests, sent in turn
    server: list[int]  # processes whose CPU seconds are counted
    callers: int = 0
    warm_up: float = 0.0
    seconds: float = 0.0
    stages: list[tuple[float, float]] = field(default_factory=list)
    seed: int = 0


@dataclass(frozen=True)
class Load:
    """What came of an order."""

    seconds: float
    server_cpu: float
    client_cpu: float
    everybody_cpu: float
    samples: list[Sample]


class Caller(asyncio.Protocol):
    """One connection, kept open: sends a message, and says when the whole answer is there."""

    def __init__(self, done: Callable[["Caller", int], None]) -> None:
        self.done = done
        self.waiting = False
        self.due = 0.0
        self.transport: asyncio.Transport | None = None
        self.parser: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has all of it, and is no subclass

    def call(self, message: bytes, due: float) -> None:
        assert self.transport is not None
        self.due, self.waiting = due, True
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.hang_up()

    def on_message_complete(self) -> None:
        status, stays = self.parser.get_status_code(), self.parser.should_keep_alive()
        self.waiting = False
        if not stays:
            self.hang_up()
        self.done(self, status)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def connection_lost(self, fault: Exception | None) -> None:
        self.transport = None
        if self.waiting:
            self.waiting = False
            self.done(self, NOBODY)

    @property
    def connected(self) -> bool:
        return self.transport is not None


class Crowd:
    """All callers of one order, and what they saw; times count from `start`."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.messages: Iterator[bytes] = cycle([Path(each).read_bytes() for each in order.messages])
        self.samples: list[Sample] = []
        self.start = perf_counter()
        self.is_over = False  # nothing more is sent

    def now(self) -> float:
        return perf_counter() - self.start

    async def connect(self, done: Callable[[Caller, int], None]) -> Caller | None:
        try:
            _, caller = await asyncio.get_running_loop().create_connection(
                lambda: Caller(done), "127.0.0.1", self.order.port
            )
        except OSError:
            return None
        return caller

    def saw(self, due: float, status: int) -> None:
        self.samples.append(Sample(due, self.now() - due, status))


async def closed(order: Order) -> Load:
    """Each caller sends the next image as soon as the last one is answered."""
    crowd = Crowd(order)

    async def one_after_another() -> None:
        while True:
            hung_up = asyncio.get_running_loop().create_future()

            def done(caller: Caller, status: int, hung_up: "asyncio.Future[None]" = hung_up) -> None:
                crowd.saw(caller.due, status)
                if caller.connected and not crowd.is_over:
                    caller.call(next(crowd.messages), crowd.now())
                elif not hung_up.done():
                    hung_up.set_result(None)

            caller = await crowd.connect(done)
            if caller is None:
                crowd.saw(crowd.now(), NOBODY)
                await asyncio.sleep(REST)
            else:
                caller.call(next(crowd.messages), crowd.now())
                await hung_up

    callers = [asyncio.create_task(one_after_another()) for _ in range(order.callers)]
    await asyncio.sleep(order.warm_up)
    crowd.samples.clear()
    meter = Meter(order.server)
    begin = crowd.now()
    await asyncio.sleep(order.seconds)
    load = meter.read([each._replace(due=each.due - begin) for each in crowd.samples])
    crowd.is_over = True
    for one in callers:
        one.cancel()
    return load


async def opened(order: Order) -> Load:
    """Calls at moments drawn beforehand, on whichever connection is free, or on a new one."""
    crowd = Crowd(order)
    idle: list[Caller] = []
    under_way: set[asyncio.Task[None]] = set()
    owed = 0

    def done(caller: Caller, status: int) -> None:
        nonlocal owed
        owed -= 1
        crowd.saw(caller.due, status)
        if caller.connected:
            idle.append(caller)

    async def on_a_new_connection(message: bytes, due: float) -> None:
        nonlocal owed
        caller = await crowd.connect(done)
        if caller is None:
            owed -= 1
            crowd.saw(due, NOBODY)
        else:
            caller.call(message, due)

    def call(due: float) -> None:
        nonlocal owed
        owed += 1
        while idle:
            caller = idle.pop()
            if caller.connected:
                caller.call(next(crowd.messages), due)
                return
        if owed > MOST_CALLERS:
            owed -= 1
            crowd.saw(due, NOBODY)
            return
        task = asyncio.create_task(on_a_new_connection(next(crowd.messages), due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    meter = Meter(order.server)
    for due in arrivals(order.stages, Random(order.seed)):
        if (rest := due - crowd.now()) > 0:
            await asyncio.sleep(rest)
        call(due)
    last = crowd.now()
    while owed and crowd.now() < last + LAST_ANSWERS:
        await asyncio.sleep(0.01)
    return meter.read(crowd.samples)


def arrivals(stages: list[tuple[float, float]], random: Random) -> Iterator[float]:
    """Moments of a Poisson process whose rate changes from stage to stage."""
    begin = 0.0
    for rate, seconds in stages:
        moment = begin
        while (moment := moment + random.expovariate(rate)) < begin + seconds:
            yield moment
        begin += seconds


class Meter:
    """CPU seconds from its making to its reading: the server's, our own, and the whole machine's."""

    def __init__(self, server: list[int]) -> None:
        self.server = server
        self.begin = self.look()

    def look(self) -> tuple[float, float, float, float]:
        return perf_counter(), cpu_seconds(self.server), process_time(), work_now().everybody or 0.0

    def read(self, samples: list[Sample]) -> Load:
        seconds, server, client, everybody = (now - then for now, then in zip(self.look(), self.begin, strict=True))
        return Load(seconds, server, client, everybody, list(samples))


def main() -> None:
    order = Order(**json.load(sys.stdin))
    load = uvloop.run(opened(order) if order.stages else closed(order))
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()
