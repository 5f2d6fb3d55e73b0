"""Connections, byte by byte: slow, large or malformed heads end soon, and do not affect other clients."""

import json
import re
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from vitrail.serving.http.body import BODY_TIMEOUT
from vitrail.serving.http.protocol import HEAD_TIMEOUT, MAX_HEAD

from ...servers import Server, Start, of_one_process
from ..conftest import Encode

SLACK = 10  # seconds that a loaded machine may add


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 20)


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    received = b""
    while more := connection.recv(65536):
        received += more
    return received


def responses_to(server: Server, request: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(request)
        return read_all(connection)


def problem_of(response: bytes) -> tuple[int, str]:
    """Status and code of a problem, after checking its format."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ") for line in lines[1:])
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["content-length"]) == len(body)
    assert headers["connection"] == "close"
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["request_id"] == headers["x-request-id"]
    assert lines[0].startswith(f"HTTP/1.1 {problem['status']} ")
    return int(problem["status"]), str(problem["code"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts segments")
def test_response_is_one_segment(server: Server) -> None:
    """Its head is not sent before its body: that would wake both sides twice."""
    with connected(server) as connection:
        for number in range(1, 6):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}".encode() in head
            assert segments(connection) == number


def segments(connection: socket.socket) -> int:
    """The number of received segments with data: at byte 152 of the kernel's tcp_info."""
    (count,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
    return int(count)


POST = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def chunked(body: bytes, size: int = 1000, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return CHUNKED + chunks + b"0\r\n" + trailers + b"\r\n"


def statuses(responses: bytes) -> list[int]:
    return [int(part[:3]) for part in responses.split(b"HTTP/1.1 ")[1:]]


MALFORMED = {
    "binary": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method": b"CLASSIFY /v1/classify HTTP/1.1\r\n\r\n",
    "target": b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no number": b"POST /v1/classify HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"POST /v1/classify HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "one line": b"GET /\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\nHost: localhost\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/classify HTTP/1.0\r\n" + CHUNKED + b"0\r\n\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunk size": POST + CHUNKED + b"xyz\r\n",
    "huge chunk": POST + CHUNKED + b"f" * 20 + b"\r\n",
    "chunk that ends late": POST + CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n",
    "lines without CR": POST + CHUNKED + b"5\nhello\n0\n\n",
    "a length in the trailers": POST + CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding in the trailers": POST + CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "folded header": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\0: c\r\n\r\n",
}


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http_returns_a_problem(server: Server, client: httpx.Client, stream: bytes) -> None:
    assert problem_of(responses_to(server, stream)) == (400, "bad_http")
    assert "Invalid HTTP request" not in server.read_log()
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity", b"x-chunked"])
def test_unknown_transfer_coding_returns_501(server: Server, coding: bytes) -> None:
    request = POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
    assert problem_of(responses_to(server, request)) == (501, "unsupported_transfer_coding")


def test_malformed_request_is_answered_after_earlier_ones(server: Server) -> None:
    response = responses_to(server, LAST.replace(b"Connection: close\r\n", b"") * 2 + b"NONSENSE\r\n\r\n")
    assert statuses(response) == [200, 200, 400]
    assert problem_of(b"HTTP/1.1 400" + response.partition(b"HTTP/1.1 400")[2]) == (400, "bad_http")


def test_chunk_extensions_and_trailers_are_ignored(server: Server, client: httpx.Client, encode: Encode) -> None:
    image = encode(size=(8, 8))
    plain = client.post("/v1/classify", content=image).content
    for framed in (
        chunked(image, 1),
        chunked(image, extension=b';name="value"'),
        chunked(image, trailers=b"Digest: x\r\nHost: other\r\n"),
    ):
        assert plain in responses_to(server, POST + framed + LAST)


ENDLESS = {
    "trailers": (b"0\r\n", b"A: b\r\n" * 10_000),
    "a trailer": (b"0\r\nA: ", b"x" * 100_000),
    "an extension": (b"1;a=", b"x" * 100_000),
    "extensions": (b"", (b"1;a=" + b"b" * 100 + b"\r\nx\r\n") * 1000),
}


@pytest.mark.parametrize("framing", ENDLESS.values(), ids=ENDLESS.keys())
def test_excessive_framing_returns_431(server: Server, framing: tuple[bytes, bytes]) -> None:
    """Long before it fills memory: the server reads a few hundred kilobytes at most."""
    start, more = framing
    before = server.family()[-1].memory_info().rss
    sent = 0
    with connected(server) as connection:
        connection.sendall(POST + CHUNKED + start)
        connection.settimeout(0.5)
        try:
            while sent < 100_000_000:
                sent += connection.send(more)
        except OSError:  # the server reads no more, or has closed
            pass
    assert sent < 50_000_000
    assert server.family()[-1].memory_info().rss - before < 20_000_000
    with connected(server) as connection:
        connection.sendall(POST + CHUNKED + start + more + more)
        assert problem_of(read_all(connection)) == (431, "framing_too_large")


def test_at_most_one_request_is_read_ahead(server: Server, encode: Encode) -> None:
    """Requests that arrive in one piece are all answered in order."""
    image = encode(size=(8, 8))
    requests = [b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(300)]
    requests[100:100] = [POST + b"Content-Length: %d\r\n\r\n%s" % (len(image), image)]
    requests[200:200] = [POST + chunked(image, 50)]
    response = responses_to(server, b"".join([*requests, LAST]))
    assert statuses(response) == [404] * 100 + [200] + [404] * 99 + [200] + [404] * 101 + [200]
    assert re.findall(rb"GET /(\d+) is not served", response) == [b"%d" % number for number in range(300)]


@of_one_process
def test_connections_are_bounded_by_file_descriptors(start: Start, bentoml_serve: list[str], model_file: Path) -> None:
    """One over the limit gets a 503 or is closed, and does not affect the others."""
    few = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', *bentoml_serve]
    with start(few, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as own, ExitStack() as stack:
        connections = [stack.enter_context(connected(own)) for _ in range(120)]
        responses: list[bytes] = []
        for connection in connections:
            try:
                connection.sendall(LAST)
                responses.append(read_all(connection))
            except OSError:
                responses.append(b"")
        served = [response for response in responses if response.startswith(b"HTTP/1.1 200")]
        refused = [response for response in responses if response.startswith(b"HTTP/1.1 503")]
        assert 8 <= len(served) <= 40
        assert len(refused) >= 8
        assert problem_of(refused[0]) == (503, "busy")
        assert b"retry-after: 1" in refused[0]
        assert "Traceback" not in own.read_log()
        own.wait_until_ready()  # refused connections linger for two seconds, and count as long


HEADS = {
    "one header": b"A: " + b"x" * 2 * MAX_HEAD,
    "many headers": b"A: x\r\n" * (MAX_HEAD // 5),
    "the boundary": b"Content-Type: multipart/form-data; boundary=" + b"-" * 1_000_000,
}


@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("piece", [1_000, 10_000_000])
def test_large_head_returns_431(server: Server, headers: bytes, piece: int) -> None:
    request = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n"
    response = b""
    with connected(server) as connection:
        try:
            for start in range(0, len(request), piece):
                connection.sendall(request[start : start + piece])
            response = read_all(connection)
        except (BrokenPipeError, ConnectionResetError):  # refused and closed before all was sent
            pass
    assert not response or problem_of(response) == (431, "head_too_large")
    assert 'vitrail_requests_total{route="none",status="431"}' in httpx.get(f"{server.url}/metrics").text


def test_large_url_returns_431(server: Server) -> None:
    assert problem_of(responses_to(server, b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n")) == (
        431,
        "head_too_large",
    )


def test_head_at_the_limit_is_accepted(client: httpx.Client) -> None:
    assert client.get("/livez", headers={"a": "x" * (MAX_HEAD - 1000)}).status_code == 200


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"


@pytest.mark.parametrize("offer", [OFFER, WEBSOCKET], ids=["h2c", "websocket"])
def test_upgrade_is_declined_and_the_next_request_answered(server: Server, offer: bytes) -> None:
    response = responses_to(server, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + offer + b"\r\n" + LAST)
    assert statuses(response) == [200, 200]
    assert "upgrade" not in server.read_log().lower()


@pytest.mark.parametrize("piece", [1, 100, 10_000_000])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_request_with_h2c_upgrade_keeps_its_body(
    server: Server, client: httpx.Client, encode: Encode, is_chunked: bool, piece: int
) -> None:
    """As Java's client sends every first request."""
    image = encode(size=(8, 8))
    framed = chunked(image) if is_chunked else b"Content-Length: %d\r\n\r\n%s" % (len(image), image)
    request = POST + b"Content-Type: image/png\r\n" + OFFER + framed + LAST
    with connected(server) as connection:
        for start in range(0, len(request), piece):
            connection.sendall(request[start : start + piece])
        response = read_all(connection)
    assert statuses(response) == [200, 200]
    assert client.post("/v1/classify", content=image).content in response


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    requests = b"".join(
        b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/livez", b"/nope", b"/readyz")
    )
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    response = responses_to(server, requests + last)
    assert [part[:3] for part in response.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200", b"200"]


def test_unread_body_does_not_end_the_connection(server: Server) -> None:
    head = b"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19000000\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    response = responses_to(server, head + bytes(19_000_000) + last)
    assert [part[:3] for part in response.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n"
DRIPS = {
    "nothing": b"",
    "empty lines": b"\r\n" * 500,
    "a head": b"GET /" + b"x" * 500,
    "a body": HEAD + b"\r\n" + b"x" * 500,
    "chunks": HEAD.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked") + b"\r\n" + b"1\r\nx\r\n" * 100,
    "a refused body": HEAD.replace(b"classify", b"nope") + b"\r\n" + b"x" * 500,
}
SENT_AT_ONCE = {"a body": len(HEAD) + 2, "chunks": len(DRIPS["chunks"]) - 600, "a refused body": len(HEAD)}


def dripping(server: Server, each: int) -> Iterator[float]:
    """Slow clients of every kind send a byte a second; yields the seconds passed, until all are closed."""
    start = time.monotonic()
    with selectors.DefaultSelector() as selector:
        left: dict[socket.socket, Iterator[int]] = {}
        for name, content in DRIPS.items():
            for _ in range(each):
                connection = connected(server)
                first = SENT_AT_ONCE.get(name, 0)
                connection.sendall(content[:first])
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
                left[connection] = iter(content[first:])
        while left:
            yield time.monotonic() - start
            closed = [connection for connection in readable(selector) if is_closed(connection)]
            for connection, drops in list(left.items()):
                try:
                    if connection not in closed and (drop := next(drops, None)) is not None:
                        connection.send(bytes([drop]))
                except OSError:
                    closed.append(connection)
            for connection in set(closed):
                selector.unregister(connection)
                connection.close()
                del left[connection]
            time.sleep(1)


def readable(selector: selectors.BaseSelector) -> list[socket.socket]:
    ready = [key.fileobj for key, _ in selector.select(0)]
    return [each for each in ready if isinstance(each, socket.socket)]


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed; data before that is ignored."""
    try:
        while True:
            if not connection.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_slow_clients_are_closed_and_do_not_delay_others(server: Server, client: httpx.Client, encode: Encode) -> None:
    image, answered, passed = encode(), 0, 0.0
    for passed in dripping(server, 500 // len(DRIPS) + 1):
        assert passed < max(HEAD_TIMEOUT, BODY_TIMEOUT) + SLACK
        for _ in range(10):
            assert client.post("/v1/classify", files={"image": image}, timeout=5).status_code == 200
            answered += 1
    assert passed >= HEAD_TIMEOUT - 2
    assert answered >= 50
