"""HTTP/1.1 connections, parsed within limits of bytes and time."""

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
from vitrail.serving.http import access_log
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.http.middleware import NO_ROUTE, REQUESTS, unavailable
from vitrail.serving.http.problems import MEDIA_TYPE, Problem

HEAD_TIMEOUT = 10.0  # seconds for the head of a request
WRITE_TIMEOUT = 10.0  # seconds for a client to read what is written
LINGER = 2.0  # seconds for a rejected client to read the response, before the connection is aborted
MAX_DROPPED = 1_000_000  # bytes that a rejected client may still send meanwhile
MAX_HEAD = 65_536  # bytes of the request line and all headers
MAX_FRAMING = 65_536  # bytes of chunk sizes, chunk extensions and trailers…
FRAMING_PER_BYTE = 8  # …and this many more for each byte of the body: one-byte chunks need five
MAX_IGNORED = 4 * MAX_BODY  # bytes of a body that are dropped once the request has its response
PARSE_SLICE = 4096  # bytes parsed in one turn of the event loop, as each may cost a callback
SPARE_FILES = 16  # file descriptors for everything else
MAX_LINGERING = 8  # connections over the limit that get a response; further ones are closed at once

EMPTY_LINES = re.compile(rb"[\r\n]{1,%d}" % PARSE_SLICE)  # skipped before a request
UPGRADE_HEADERS = (b"upgrade", b"http2-settings")


class Phase(Enum):
    """The part of a request that the next byte belongs to."""

    BETWEEN = "two requests"
    HEAD = "first line and headers"
    BODY = "body, chunk framing or trailers"


class ReadAhead(FlowControl):
    """Flow control that keeps reading paused while received bytes wait to be parsed."""

    is_held = False

    def hold(self) -> None:
        self.is_held = True
        self.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the limits it lacks: time for a head, size of heads, trailers and chunk extensions.

    The head timer runs from the first byte that may belong to a head, or from the start of the connection, until the
    head is complete. The body has the timeout of `read_body`; between two requests uvicorn's keep-alive timeout runs.

    Bytes are counted as they arrive, because the parser buffers an unfinished line without reporting it. While a
    request is being answered at most one more is parsed; what follows waits, and nothing more is received.
    """

    max_connections = settings.CONNECTIONS

    phase = Phase.BETWEEN
    head_timer: asyncio.TimerHandle | None = None
    write_timer: asyncio.TimerHandle | None = None
    head_bytes = 0
    body_bytes = 0
    body_length = 0  # Content-Length; 0 for a chunked body
    framing_bytes = 0
    dropped_bytes = 0  # received after parsing_ended
    unparsed = b""
    parsing_ended = False  # nothing more on this connection is parsed
    pending_response = b""  # written once the requests before it have their responses

    flow: ReadAhead
    transport: "CoalescingTransport"  # type: ignore[assignment]  # behaves as a transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast(asyncio.Transport, CoalescingTransport(transport, self.loop)))
        self.flow = ReadAhead(cast(asyncio.Transport, self.transport))
        excess = len(self.connections) - self.max_connections
        if excess <= 0:
            self.start_head_timer()
            return
        self.reject(too_many_connections(), lingers=excess <= MAX_LINGERING)

    def start_head_timer(self) -> None:
        self.stop_head_timer()
        self.head_timer = self.loop.call_later(HEAD_TIMEOUT, self.on_head_timeout)

    def stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_head_timer()
        self.parsing_ended, self.unparsed = True, b""
        super().connection_lost(exc)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.parsing_ended:
            self.dropped_bytes += len(data)
            if self.dropped_bytes > MAX_DROPPED:
                self.transport.abort()
            return
        if self.unparsed:  # received before reading could be paused
            self.unparsed += data
        else:
            self.parse(data)

    def parse(self, data: bytes) -> None:
        """Parse one slice; keep the rest for the next turn of the loop, and receive nothing more until it is parsed."""
        start = costly = 0
        while start < len(data) and costly < PARSE_SLICE and not self.pipeline and not self.parsing_ended:
            left = self.body_length - self.body_bytes
            step = min(left, len(data) - start) if left > 0 else self.step(data, start)
            consumed = self.feed(data[start : start + step])
            start += consumed
            costly += 0 if left > 0 else consumed
        if self.parsing_ended:
            return
        self.unparsed = data[start:]
        if self.unparsed:
            self.flow.hold()
            if not self.pipeline:  # else the end of the previous response continues it
                self.loop.call_soon(self.parse_rest)

    def step(self, data: bytes, start: int) -> int:
        """How many bytes to parse next: at most to the end of a head, so that one request is parsed at a time."""
        if self.phase is Phase.BETWEEN and (empty := EMPTY_LINES.match(data, start)):
            return empty.end() - start
        end = -1 if self.phase is Phase.BODY else data.find(b"\r\n\r\n", start, start + PARSE_SLICE)
        return min(PARSE_SLICE, len(data) - start) if end < 0 else end + 4 - start

    def parse_rest(self) -> None:
        if self.parsing_ended or self.pipeline or not self.unparsed:
            return
        self._unset_keepalive_if_required()
        data, self.unparsed, self.flow.is_held = self.unparsed, b"", False
        self.parse(data)
        may_read = not (self.unparsed or self.parsing_ended or self.pipeline)
        if may_read and (self.is_idle() or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    def feed(self, data: bytes) -> int:
        """Give bytes to the parser and count them; returns how many it consumed."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.decline_upgrade()
            return int(upgrade.args[0])
        except HttpParserError as error:
            self.reject(to_problem(error))
            return len(data)
        if self.phase is Phase.HEAD:
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD:
                self.reject(head_too_large())
            elif self.url and data.endswith(b"\n") and self.parser.get_http_version() in ("0.0", "0.9"):
                self.reject(bad_http(": its version is 0.9"))  # a request line without headers
        elif self.phase is Phase.BODY:
            self.framing_bytes += len(data)
            if self.framing_bytes > MAX_FRAMING + FRAMING_PER_BYTE * self.body_bytes:
                self.reject(framing_too_large())
            elif self.body_bytes > MAX_IGNORED:
                self.reject(Problem(413, "body_too_large", f"the body is larger than {MAX_BODY:,} bytes"))
        if self.head_timer is None and self.is_idle() and not self.parsing_ended:  # the rest of a body, or empty lines
            self.start_head_timer()
        return len(data)

    def decline_upgrade(self) -> None:
        """Ignore an Upgrade offer and answer as HTTP/1.1, which RFC 9110 allows.

        The parser stops after the head of such a request and takes its body for the other protocol, so the head is
        parsed again without the upgrade headers.
        """
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(
                    option for option in value.split(b",") if option.strip().lower() not in UPGRADE_HEADERS
                )
            if name not in UPGRADE_HEADERS and value:
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
        self.start_head_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is Phase.HEAD:  # else a trailer: ignored
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers) > MAX_HEAD:
            raise head_too_large()
        check_head(self.parser.get_http_version(), self.headers)
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise bad_http(": CONNECT is for proxies")
            return
        super().on_headers_complete()
        self.stop_head_timer()
        self.phase = Phase.BODY
        self.body_length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.framing_bytes -= len(body)
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment]  # bytes, to avoid a copy
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.phase is Phase.BODY:  # else the head of an upgrade
            self.phase = Phase.BETWEEN
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.parsing_ended and self.is_idle():
            self.write_and_close(self.pending_response)
        elif self.unparsed:
            self.loop.call_soon(self.parse_rest)

    def _should_upgrade(self) -> bool:
        return False

    def on_head_timeout(self) -> None:
        """Close; a client that has begun a request gets a 408 first."""
        if not self.is_idle():  # nothing is read while the previous request is answered
            self.start_head_timer()
        elif self.phase is Phase.HEAD:
            self.reject(
                Problem(408, "head_too_slow", f"the head of a request must come within {HEAD_TIMEOUT:g} seconds")
            )
        else:
            self.transport.close()

    def reject(self, problem: Problem, lingers: bool = True) -> None:
        """Respond and close: what follows on this connection cannot be parsed.

        Where the fault is in a body, its route may be running already, and sends the response. The response to a head
        waits for the responses to the requests before it.
        """
        self.stop_head_timer()
        self.parsing_ended, self.unparsed = True, b""
        if self.transport.is_closing():
            return
        self.transport.lingers = lingers
        if self.phase is Phase.BODY and self.is_idle():
            self.write_and_close(b"")  # the response was sent
        elif self.phase is Phase.BODY:
            self.flow.hold()
            self.cycle.scope["state"]["body_problem"] = problem
            self.cycle.keep_alive = self.cycle.more_body = False
            self.cycle.message_event.set()
        else:
            self.pending_response = refusal(problem)
            if self.is_idle():
                self.write_and_close(self.pending_response)
            else:
                self.flow.hold()

    def write_and_close(self, data: bytes) -> None:
        """Write and close; what the client still sends meanwhile is dropped."""
        self._unset_keepalive_if_required()
        self.flow.is_held = False
        self.flow.resume_reading()
        self.transport.write(data)
        self.transport.close()

    def pause_writing(self) -> None:
        """Abort a connection whose client does not read the response."""
        super().pause_writing()
        self.write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None


class CoalescingTransport:
    """A transport that sends a response's head together with its body, if both are written in one turn of the loop.

    One that lingers closes only its writing side first: closing a connection that has unread bytes would reset it, and
    the response would be lost.
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


def to_problem(error: HttpParserError) -> Problem:
    """The problem raised in one of our callbacks, or the parser's own error."""
    if isinstance(error.__context__, Problem):
        return error.__context__
    return bad_http(": its target is not a URL" if isinstance(error, HttpParserCallbackError) else f": {error}")


def check_head(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Refuse what the parser accepts against RFC 9112."""
    if version not in ("1.0", "1.1"):
        raise bad_http(f": its version is {version}")
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise bad_http(": it needs exactly one Host header")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and version == "1.0":
        raise bad_http(": HTTP/1.0 has no Transfer-Encoding")
    if any(coding != b"chunked" for coding in codings):
        raise Problem(501, "unsupported_transfer_coding", "the only supported transfer coding is 'chunked'")


def bad_http(why: str = "") -> Problem:
    return Problem(400, "bad_http", f"this is not a valid request in HTTP/1.1{why}")


def head_too_large() -> Problem:
    return Problem(431, "head_too_large", f"the first line and the headers are larger than {MAX_HEAD:,} bytes")


def framing_too_large() -> Problem:
    return Problem(431, "framing_too_large", "chunk sizes, chunk extensions and trailers outweigh the body by too much")


def too_many_connections() -> Problem:
    return unavailable("busy", "the server has reached its limit of connections; try again in a moment")


def refusal(problem: Problem) -> bytes:
    """A response to what is no request of the application, counted and logged."""
    request_id = uuid4().hex
    REQUESTS.labels(NO_ROUTE, str(problem.status)).inc()
    access_log.write(request_id, "", "", NO_ROUTE, problem.status, 0)
    return encode_problem(problem, request_id)


def encode_problem(problem: Problem, request_id: str) -> bytes:
    """The bytes of a response that is sent without the application."""
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
    """Allow `wanted` connections, or fewer where the process may not open as many files.

    Without a free file descriptor the event loop would close new connections without a response, and no model or page
    could be opened.
    """
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    open_now = len(os.listdir("/dev/fd"))
    room = sys.maxsize if limit == resource.RLIM_INFINITY else limit - open_now - MAX_LINGERING - SPARE_FILES
    HttpProtocol.max_connections = max(1, min(wanted, room))


def use_http_protocol() -> None:
    """Have uvicorn use HttpProtocol; BentoML's worker requests `auto`, and has no option for another."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{HttpProtocol.__name__}"
