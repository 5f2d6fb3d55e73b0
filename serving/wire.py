"""One connection: how long and how large the head of a request may be, and what is said where it is no HTTP."""

import asyncio
import json
from typing import Any, cast
from uuid import uuid4

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vitrail.serving import journal
from vitrail.serving.problems import MEDIA_TYPE, Problem
from vitrail.serving.watch import NO_ROUTE, REQUESTS

PATIENCE = 10.0  # seconds for the head of a request, and for a caller to take what is written
MAX_HEAD = 65_536  # bytes of the first line and all headers


class Wire(HttpToolsProtocol):
    """uvicorn's connection, with an end to its patience: it waits for heads for ever, and takes them at any size.

    A clock runs from the first byte that may belong to a head, or from the beginning of the connection, until the
    head is complete. Between two requests uvicorn's own keep-alive clock runs.
    """

    clock: asyncio.TimerHandle | None = None
    unread: asyncio.TimerHandle | None = None
    in_head = False
    head_bytes = 0
    is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast(asyncio.Transport, InOnePiece(transport, self.loop)))
        self.wind_up()

    def wind_up(self) -> None:
        self.stop_clock()
        self.clock = self.loop.call_later(PATIENCE, self.too_slow)

    def stop_clock(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
            self.clock = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_clock()
        super().connection_lost(exc)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.is_over:
            return
        clock = self.clock
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered as if it had not asked for one. The parser
            # takes what follows, even its body, for another request; so nothing more is read.
            self.is_over = True
            self.cycle.keep_alive = False
        except HttpParserError as fault:
            self.refuse(fault.__context__ if isinstance(fault.__context__, Problem) else no_http())
            return
        if self.in_head and self.clock is clock:  # still the same head
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD:
                self.refuse(head_too_large())
        elif self.clock is None and self.is_idle():  # the rest of a body that nobody wants, or empty lines
            self.wind_up()

    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head, self.head_bytes = True, 0
        self.wind_up()

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.stop_clock()
        if len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers) > MAX_HEAD:
            raise head_too_large()  # it came in one piece
        super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        return False

    def too_slow(self) -> None:
        """Who has said something is told why this is the end."""
        if not self.is_idle():  # nothing is read while the request before is answered
            self.wind_up()
        elif self.in_head:
            self.refuse(Problem(408, "head_too_slow", f"the head of a request must come within {PATIENCE:g} seconds"))
        else:
            self.transport.close()

    def refuse(self, problem: Problem) -> None:
        """Answer, and close: what would follow on this connection cannot be read."""
        self.stop_clock()
        self.is_over = True
        if self.transport.is_closing():
            return
        if self.is_idle():  # else the answer that is on its way would be mixed up with this one
            request_id = uuid4().hex
            REQUESTS.labels(NO_ROUTE, str(problem.status)).inc()
            journal.enter(request_id, "", "", NO_ROUTE, problem.status, 0)
            self.transport.write(answer(problem, request_id))
        self.transport.close()

    def pause_writing(self) -> None:
        """More is written than the caller takes: that, too, has an end."""
        super().pause_writing()
        self.unread = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.unread is not None:
            self.unread.cancel()
            self.unread = None


class InOnePiece:
    """A transport that sends an answer's head with its body; alone, if the body does not come in the same turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop = transport, loop
        self.held = b""

    def write(self, data: bytes) -> None:
        if self.held:
            self.held += data
            self.send()
        else:
            self.held = data
            self.loop.call_soon(self.send)

    def send(self) -> None:
        if self.held:
            held, self.held = self.held, b""
            self.transport.write(held)

    def close(self) -> None:
        self.send()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def no_http() -> Problem:
    return Problem(400, "bad_http", "this is no request in HTTP/1.1")


def head_too_large() -> Problem:
    return Problem(431, "head_too_large", f"the first line and the headers are larger than {MAX_HEAD:,} bytes")


def answer(problem: Problem, request_id: str) -> bytes:
    """The problem as it goes over the wire, where no application is asked."""
    body = json.dumps({**problem.document(), "request_id": request_id}).encode()
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "x-request-id": request_id,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    return STATUS_LINE[problem.status] + head + b"\r\n" + body


def speak_patiently() -> None:
    """Let uvicorn take connections for ours; BentoML's worker asks it for `auto`, and has no option for another."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Wire.__name__}"
