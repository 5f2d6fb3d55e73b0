"""Requests in flight, what they may hold and receive; on SIGTERM, new ones are refused until these are answered."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from vitrail.runtime.providers import usable_cores
from vitrail.serving.siblings import Alone, Siblings

DRAIN_TIMEOUT = 20.0  # seconds that requests in flight get after SIGTERM
POLL_INTERVAL = 0.05  # seconds
MAX_HELD_BYTES = 160_000_000  # of all request bodies together
# Receiving large bodies delays all other requests: while there are any, large bodies share this rate.
LARGE_BODIES_RATE = 20e6  # bytes a second, per core
OTHERS_PAUSE = 1.0  # seconds after a request in which its client may send another


class Throttle:
    """A rate limit in bytes a second, shared first come, first served."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.next = 0.0  # loop time at which the next byte is due

    async def take(self, count: int) -> float:
        """Wait until `count` bytes are due; returns the seconds waited."""
        now = asyncio.get_running_loop().time()
        begin = max(self.next, now)
        self.next = begin + count / self.rate
        if begin > now:
            await asyncio.sleep(begin - now)
        return begin - now


class InFlightRequest:
    """A request that has not been answered, and the bytes of its body that are held."""

    def __init__(self, gate: "Gate") -> None:
        self.gate = gate
        self.admitted_in_time = gate.is_open
        self.held_bytes = 0
        self.is_large = False  # its body is, or Content-Length says so
        self.takes_images = False

    async def receive_large(self, count: int) -> float:
        """Wait until `count` more bytes of a large body are due; returns the seconds waited."""
        self.is_large = True
        return await self.gate.large_bodies.take(count) if self.gate.has_small_requests() else 0.0

    def admit(self) -> None:
        """Count it among the requests for images, until it ends."""
        self.takes_images = True
        self.gate.change(admitted=1)

    def reserve(self, size: int) -> bool:
        """Reserve `size` more bytes until the request ends; False where there is no room."""
        if self.gate.held_bytes + self.gate.siblings.others("held") + size > MAX_HELD_BYTES:
            return False
        self.gate.change(held=size)
        self.held_bytes += size
        return True


class Gate:
    """Open until SIGTERM. Once closed, the server still listens, and refuses new requests with 503."""

    def __init__(self, siblings: Siblings | None = None, processes: int = 1) -> None:
        self.siblings = siblings or Alone()
        self.is_open = True
        self.in_flight: set[InFlightRequest] = set()
        self.held_bytes = 0
        self.admitted = 0  # requests for images
        self.large_bodies = Throttle(LARGE_BODIES_RATE * usable_cores() / processes)
        self.small_seen = float("-inf")  # when a request without a large body was last in flight

    def has_small_requests(self) -> bool:
        """Whether requests without large bodies are in flight, or were a moment ago."""
        now = monotonic()
        if any(not request.is_large for request in self.in_flight):
            self.small_seen = now
        return now - self.small_seen < OTHERS_PAUSE

    @contextmanager
    def track(self) -> Iterator[InFlightRequest]:
        request = InFlightRequest(self)
        self.in_flight.add(request)
        self.siblings.publish("in_flight", len(self.in_flight))
        try:
            yield request
        finally:
            self.in_flight.discard(request)
            self.siblings.publish("in_flight", len(self.in_flight))
            if not request.is_large:
                self.small_seen = monotonic()
            self.change(held=-request.held_bytes, admitted=-request.takes_images)

    def change(self, held: int = 0, admitted: int = 0) -> None:
        if held:
            self.held_bytes += held
            self.siblings.publish("held", self.held_bytes)
        if admitted:
            self.admitted += admitted
            self.siblings.publish("admitted", self.admitted)

    def all_in_flight(self) -> int:
        """Requests in flight in all processes."""
        return len(self.in_flight) + self.siblings.others("in_flight")

    def all_admitted(self) -> int:
        """Requests for images in flight in all processes."""
        return self.admitted + self.siblings.others("admitted")

    @contextmanager
    def close_on(self, signum: signal.Signals) -> Iterator[None]:
        """Close on this signal, and let requests in flight end, before the server's own handler."""
        with before_signal(signum, self.drain):
            yield

    async def drain(self) -> None:
        self.is_open = False
        await self.wait_for(set(self.in_flight))

    async def wait_for(self, requests: set[InFlightRequest]) -> None:
        """Wait until these requests have ended, at most DRAIN_TIMEOUT; later ones are not waited for."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while requests & self.in_flight:
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError:
            pass


@contextmanager
def before_signal(signum: signal.Signals, work: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Run before the server's own handler of this signal: first this work, then that handler.

    uvicorn stops listening at once, but BentoML's arbiter keeps the socket open: new connections would hang.
    """
    loop = asyncio.get_running_loop()
    previous = signal.getsignal(signum)
    running: set[asyncio.Task[None]] = set()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signum, previous)  # a second signal takes effect at once
        loop.call_soon_threadsafe(lambda: running.add(loop.create_task(first())))

    async def first() -> None:
        await work()
        if signal.getsignal(signum) is previous:
            signal.raise_signal(signum)

    signal.signal(signum, handle)
    try:
        yield
    finally:
        if signal.getsignal(signum) is handle:
            signal.signal(signum, previous)
        for task in running:
            task.cancel()
