"""The body of a request, read within limits of size and patience."""

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from vitrail.runtime.providers import usable_cores
from vitrail.serving.http.gate import Visit
from vitrail.serving.http.middleware import refused
from vitrail.serving.http.problems import MEDIA_TYPE, Document, Problem, whole_document

MAX_BODY = 20_000_000
PATIENCE = 12.0  # seconds, and one more for each SLOWEST bytes that came
SLOWEST = 65_536
LARGE = 1_000_000  # bytes that take a millisecond to be copied or read through


# Bytes a second of all large bodies together, for each core: to receive and read them takes time from everybody.
LARGE_BODIES_RATE = 64e6


class BodyTooLarge(Problem):
    """More bytes than we read, announced or found."""

    def __init__(self) -> None:
        super().__init__(413, "body_too_large", f"the body is larger than {MAX_BODY:,} bytes")


def is_compressed(request: Request) -> bool:
    """Whether any Content-Encoding, of as many as were sent, says so."""
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    return any(coding.strip() not in ("", "identity") for coding in codings)


class Throttle:
    """Bytes of all who take them, at a steady rate; who is first is served first."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.next = 0.0  # when the next byte is due

    async def take(self, count: int) -> float:
        """Wait until so many are due; the seconds that this took."""
        now = asyncio.get_running_loop().time()
        begin = max(self.next, now)
        self.next = begin + count / self.rate
        if begin > now:
            await asyncio.sleep(begin - now)
        return begin - now


large_bodies = Throttle(LARGE_BODIES_RATE * usable_cores())


async def read_body(request: Request) -> bytes:
    """The whole body, or a problem as soon as it is known to be too large or too slow."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        raise BodyTooLarge
    visit: Visit = request.state.visit
    pieces: list[bytes] = []
    length = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + PATIENCE) as clock:
            async for chunk in request.stream():
                pieces.append(chunk)
                length += len(chunk)
                if length > MAX_BODY:
                    raise BodyTooLarge
                if not visit.bring(len(chunk)):
                    raise refused(503, "busy", "the images of others fill the memory; try again in a moment")
                if length > LARGE:
                    start += await large_bodies.take(len(chunk))
                clock.reschedule(start + PATIENCE + length / SLOWEST)
                if problem := request.scope["state"].get("body_problem"):  # the connection could not parse the rest
                    raise problem
    except TimeoutError:
        raise Problem(408, "body_too_slow", "the body came too slowly", {"connection": "close"}) from None
    join = partial(b"".join, pieces)
    return join() if length <= LARGE else await asyncio.to_thread(join)


class Farewell(JSONResponse):
    """An answer to somebody who is still sending: it goes out at once, then the rest is read and dropped.

    Closing at once instead would reset the connection, and the caller would never see the answer.
    """

    def __init__(self, document: Document, status: int) -> None:
        super().__init__(document, status, {"connection": "close"}, MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(PATIENCE):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass  # patience ends; so does the connection
        await send({"type": "http.response.body"})


async def on_body_too_large(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, BodyTooLarge)
    return Farewell(whole_document(request, fault), fault.status)
