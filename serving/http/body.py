"""The body of a request, read within limits of size and time."""

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from vitrail.serving.http.gate import InFlightRequest
from vitrail.serving.http.middleware import unavailable
from vitrail.serving.http.problems import MEDIA_TYPE, Document, Problem, response_document

MAX_BODY = 20_000_000
BODY_TIMEOUT = 12.0  # seconds, and one more for each MIN_BODY_RATE bytes received
MIN_BODY_RATE = 65_536  # bytes a second
LARGE = 1_000_000  # bytes: copying this much takes a millisecond


class BodyTooLarge(Problem):
    """Content-Length or the body itself exceeds MAX_BODY."""

    def __init__(self) -> None:
        super().__init__(413, "body_too_large", f"the body is larger than {MAX_BODY:,} bytes")


def is_compressed(request: Request) -> bool:
    """Whether any Content-Encoding header names a coding other than identity."""
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    return any(coding.strip() not in ("", "identity") for coding in codings)


async def read_body(request: Request) -> bytes:
    """The whole body; raises a Problem as soon as it is known to be too large or too slow."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise BodyTooLarge
    in_flight: InFlightRequest = request.state.in_flight
    in_flight.is_large = declared.isdecimal() and int(declared) > LARGE
    pieces: list[bytes] = []
    length = 0
    start = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(start + BODY_TIMEOUT) as timeout:
            async for chunk in request.stream():
                pieces.append(chunk)
                length += len(chunk)
                if length > MAX_BODY:
                    raise BodyTooLarge
                if not in_flight.reserve(len(chunk)):
                    raise unavailable("busy", "the bodies of other requests fill the memory; try again in a moment")
                if length > LARGE:
                    start += await in_flight.receive_large(len(chunk))
                timeout.reschedule(start + BODY_TIMEOUT + length / MIN_BODY_RATE)
                if problem := request.scope["state"].get("body_problem"):  # the connection could not parse the rest
                    raise problem
    except TimeoutError:
        raise Problem(408, "body_too_slow", "the body came too slowly", {"connection": "close"}) from None
    join = partial(b"".join, pieces)
    return join() if length <= LARGE else await asyncio.to_thread(join)


class DrainingResponse(JSONResponse):
    """A response to a client that is still sending: sent at once, then the rest of the body is read and dropped.

    Closing at once would reset the connection, and the client would never see the response.
    """

    def __init__(self, document: Document, status: int) -> None:
        super().__init__(document, status, {"connection": "close"}, MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass  # the connection is closed all the same
        await send({"type": "http.response.body"})


async def on_body_too_large(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BodyTooLarge)
    return DrainingResponse(response_document(request, error), error.status)
