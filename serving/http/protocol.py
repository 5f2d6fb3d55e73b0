"""One connection: HTTP/1.1 parsed within bounds of bytes and time, from a request's first byte to its last."""

import asyncio
import json
import os
import re
import resource
import sys
from enum import Enum
from typing import Any, cast
from uuid import uuid4

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vitrail.serving import settings
from vitrail.serving.http import access_log as journal
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.http.middleware import NO_ROUTE, REQUESTS, refused
from vitrail.serving.http.problems import MEDIA_TYPE, Problem

PATIENCE = 10.0  # seconds for the head of a request, and for a caller to take what is written
LINGER = 2.0  # seconds in which a refused caller may read the answer, before the connection is cut
MAX_DROPPED = 1_000_000  # bytes that a refused caller may still send meanwhile
MAX_HEAD = 65_536  # bytes of the first line and all headers
MAX_FRAMING = 65_536  # bytes of chunk sizes, chunk extensions and trailers…
FRAMING_A_BYTE = 8  # …and so many more for each byte of the body: one-byte chunks need five
MAX_IGNORED = 4 * MAX_BODY  # bytes of a body that are dropped because the request already has its answer
SLICE = 4096  # bytes parsed in one turn of the event loop, where each of them may cost a callback
SPARE_FILES = 16  # for everything else that the process opens
MOST_REFUSED = 8  # connections over the limit that may linger; the next are closed at once

EMPTY_LINES = re.compile(rb"[\r\n]{1,%d}" % SLICE)  # before a request they are passed over
OFFERS = (b"upgrade", b"http2-settings")  # headers that offer another protocol for this connection


class Phase(Enum):
    """What the next byte belongs to."""

    BETWEEN = "two requests"
    HEAD = "first line and headers"
    BODY = "body, chunk framing or trailers"


class ReadAhead(FlowControl):
    """Reading that stays paused while bytes wait to be parsed, whoever asks for more."""

    is_held = False

    def hold(self) -> None:
        self.is_held = True
        self.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class Wire(HttpToolsProtocol):
    """uvicorn's connection, which by itself waits for ever and takes heads, trailers and chunk extensions of any size.

    A clock runs from the first byte that may belong to a head, or from the start of the connection, until the head is
    complete. The body has the clock of `read_body`; between two requests runs uvicorn's keep-alive clock.

    Bytes are counted as they arrive, not as the parser reports them: it gathers an unfinished line in silence. While
    a request is being answered at most one more is parsed; what follows waits, and nothing more is received.
    """

    most_connections = settings.CONNECTIONS

    phase = Phase.BETWEEN
    clock: asyncio.TimerHandle | None = None
    unread: asyncio.TimerHandle | None = None
    head_bytes = 0
    body_bytes = 0
    body_length = 0  # as Content-Length announces it; 0 for a chunked body
    framing_bytes = 0
    dropped_bytes = 0  # since nothing is parsed any more
    unparsed = b""
    is_over = False  # nothing more on this connection is parsed
    last_words = b""  # an answer that is written once the requests before it have theirs

    flow: ReadAhead
    transport: "InOnePiece"  # type: ignore[assignment]  # a transport in all but its class

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast(asyncio.Transport, InOnePiece(transport, self.loop)))
        self.flow = ReadAhead(cast(asyncio.Transport, self.transport))
        excess = len(self.connections) - self.most_connections
        if excess <= 0:
            self.start_clock()
            return
        full = refused(503, "busy", "the server has as many connections as it takes; try again in a moment")
        self.refuse(full, lingers=excess <= MOST_REFUSED)

    def start_clock(self) -> None:
        self.stop_clock()
        self.clock = self.loop.call_later(PATIENCE, self.too_slow)

    def stop_clock(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
            self.clock = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_clock()
        self.is_over, self.unparsed = True, b""
        super().connection_lost(exc)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.is_over:
            self.dropped_bytes += len(data)
            if self.dropped_bytes > MAX_DROPPED:
                self.transport.abort()
            return
        if self.unparsed:  # received before reading could be paused
            self.unparsed += data
        else:
            self.parse(data)

    def parse(self, data: bytes) -> None:
        """Parse what this turn of the loop allows; keep the rest, and receive nothing more until it is parsed."""
        start = costly = 0
        while start < len(data) and costly < SLICE and not self.pipeline and not self.is_over:
            left = self.body_length - self.body_bytes
            step = min(left, len(data) - start) if left > 0 else self.step(data, start)
            consumed = self.feed(data[start : start + step])
            start += consumed
            costly += 0 if left > 0 else consumed
        if self.is_over:
            return
        self.unparsed = data[start:]
        if self.unparsed:
            self.flow.hold()
            if not self.pipeline:  # else the end of the answer before it goes on
                self.loop.call_soon(self.parse_rest)

    def step(self, data: bytes, start: int) -> int:
        """How many bytes to parse at once: to the end of the head, so that one request is parsed at a time."""
        if self.phase is Phase.BETWEEN and (empty := EMPTY_LINES.match(data, start)):
            return empty.end() - start
        end = -1 if self.phase is Phase.BODY else data.find(b"\r\n\r\n", start, start + SLICE)
        return min(SLICE, len(data) - start) if end < 0 else end + 4 - start

    def parse_rest(self) -> None:
        if self.is_over or self.pipeline or not self.unparsed:
            return
        self._unset_keepalive_if_required()
        data, self.unparsed, self.flow.is_held = self.unparsed, b"", False
        self.parse(data)
        may_read = not (self.unparsed or self.is_over or self.pipeline)
        if may_read and (self.is_idle() or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    def feed(self, data: bytes) -> int:
        """Give bytes to the parser and count them; how many it took."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self.decline()
            return int(offer.args[0])
        except HttpParserError as fault:
            self.refuse(problem_of(fault))
            return len(data)
        if self.phase is Phase.HEAD:
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD:
                self.refuse(head_too_large())
            elif self.url and data.endswith(b"\n") and self.parser.get_http_version() in ("0.0", "0.9"):
                self.refuse(no_http(": its version is 0.9"))  # the line is all there is of such a request
        elif self.phase is Phase.BODY:
            self.framing_bytes += len(data)
            if self.framing_bytes > MAX_FRAMING + FRAMING_A_BYTE * self.body_bytes:
                self.refuse(framing_too_large())
            elif self.body_bytes > MAX_IGNORED:
                self.refuse(Problem(413, "body_too_large", f"the body is larger than {MAX_BODY:,} bytes"))
        if self.clock is None and self.is_idle() and not self.is_over:  # an unwanted body's rest, or empty lines
            self.start_clock()
        return len(data)

    def decline(self) -> None:
        """Answer a request that offers another protocol as HTTP/1.1, which RFC 9110 leaves to the server.

        The parser stops after the head of such a request, and takes its body for the other protocol; so the head is
        parsed once more, without the offer.
        """
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(option for option in value.split(b",") if option.strip().lower() not in OFFERS)
            if name not in OFFERS and value:
                head.append(name + b": " + value)
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.feed(b"\r\n".join([*head, b"", b""]))

    def is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.phase = Phase.HEAD
        self.head_bytes = self.body_bytes = self.body_length = self.framing_bytes = 0
        self.start_clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.HEAD:  # else it is a trailer, which nothing here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers) > MAX_HEAD:
            raise head_too_large()
        check_head(self.parser.get_http_version(), self.headers)
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise no_http(": CONNECT is for proxies")
            return
        super().on_headers_complete()
        self.stop_clock()
        self.phase = Phase.BODY
        self.body_length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.framing_bytes -= len(body)
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment]  # takes and gives bytes without a copy
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.phase is Phase.BODY:  # else it is a head that offers another protocol
            self.phase = Phase.BETWEEN
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.is_over and self.is_idle():
            self.end_with(self.last_words)
        elif self.unparsed:
            self.loop.call_soon(self.parse_rest)

    def _should_upgrade(self) -> bool:
        return False

    def too_slow(self) -> None:
        """Close; a caller who has begun a request is answered first."""
        if not self.is_idle():  # nothing is read while the request before is answered
            self.start_clock()
        elif self.phase is Phase.HEAD:
            self.refuse(Problem(408, "head_too_slow", f"the head of a request must come within {PATIENCE:g} seconds"))
        else:
            self.transport.close()

    def refuse(self, problem: Problem, lingers: bool = True) -> None:
        """Answer and close: what follows on this connection cannot be parsed.

        A request whose body is at fault may be with its route already, which then answers in its own time. The
        answer to a head waits for the answers to the requests before it.
        """
        self.stop_clock()
        self.is_over, self.unparsed = True, b""
        if self.transport.is_closing():
            return
        self.transport.lingers = lingers
        if self.phase is Phase.BODY and self.is_idle():
            self.end_with(b"")  # it has its answer
        elif self.phase is Phase.BODY:
            self.flow.hold()
            self.cycle.scope["state"]["body_problem"] = problem
            self.cycle.keep_alive = self.cycle.more_body = False
            self.cycle.message_event.set()
        else:
            request_id = uuid4().hex
            REQUESTS.labels(NO_ROUTE, str(problem.status)).inc()
            journal.enter(request_id, "", "", NO_ROUTE, problem.status, 0)
            self.last_words = answer(problem, request_id)
            if self.is_idle():
                self.end_with(self.last_words)
            else:
                self.flow.hold()

    def end_with(self, words: bytes) -> None:
        """Write, and close; what the caller still sends meanwhile is dropped."""
        self._unset_keepalive_if_required()
        self.flow.is_held = False
        self.flow.resume_reading()
        self.transport.write(words)
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
    """A transport that sends an answer's head with its body; alone, if the body does not come in the same turn.

    One that lingers ends its own side first: to close at once would reset a connection with unread bytes, and the
    answer would be lost with it.
    """

    lingers = False

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop = transport, loop
        self.held = b""
        self.end: asyncio.TimerHandle | None = None

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
        if not self.lingers:
            self.transport.close()
        elif self.end is None:
            self.transport.write_eof()
            self.end = self.loop.call_later(LINGER, self.transport.abort)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def problem_of(fault: HttpParserError) -> Problem:
    """What was raised in a callback of ours, or what the parser itself found."""
    if isinstance(fault.__context__, Problem):
        return fault.__context__
    return no_http(": its target is no URL" if isinstance(fault, HttpParserCallbackError) else f": {fault}")


def check_head(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """What the parser lets pass, and RFC 9112 does not."""
    if version not in ("1.0", "1.1"):
        raise no_http(f": its version is {version}")
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise no_http(": it needs exactly one Host header")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and version == "1.0":
        raise no_http(": HTTP/1.0 has no Transfer-Encoding")
    if any(coding != b"chunked" for coding in codings):
        raise Problem(501, "unsupported_transfer_coding", "the only transfer coding that is read is 'chunked'")


def no_http(why: str = "") -> Problem:
    return Problem(400, "bad_http", f"this is no request in HTTP/1.1{why}")


def head_too_large() -> Problem:
    return Problem(431, "head_too_large", f"the first line and the headers are larger than {MAX_HEAD:,} bytes")


def framing_too_large() -> Problem:
    return Problem(431, "framing_too_large", "chunk sizes, chunk extensions and trailers outweigh the body by too much")


def answer(problem: Problem, request_id: str) -> bytes:
    """The problem as it goes over the wire, where no application is asked."""
    body = json.dumps({**problem.document(), "request_id": request_id}).encode()
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        **(problem.headers or {}),
        "x-request-id": request_id,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    return STATUS_LINE[problem.status] + head + b"\r\n" + body


def limit_connections(wanted: int) -> None:
    """Take so many connections, but no more than this process may have files open.

    Where none is left, the event loop would close new connections without an answer, and a model or page could not
    be opened either.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    open_now = len(os.listdir("/dev/fd"))
    room = sys.maxsize if most == resource.RLIM_INFINITY else most - open_now - MOST_REFUSED - SPARE_FILES
    Wire.most_connections = max(1, min(wanted, room))


def speak_patiently() -> None:
    """Let uvicorn take connections for ours; BentoML's worker asks it for `auto`, and has no option for another."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Wire.__name__}"
