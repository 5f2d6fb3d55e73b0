"""Connections, byte by byte: heads that are slow, large or no HTTP end soon, and cost the other callers nothing."""

import json
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from vitrail.serving.body import PATIENCE as BODY_PATIENCE
from vitrail.serving.wire import MAX_HEAD, PATIENCE

SLACK = 10  # seconds that a loaded machine may add


def connected(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), 20)


def all_of(wire: socket.socket) -> bytes:
    """Everything until the server closes."""
    said = b""
    while more := wire.recv(65536):
        said += more
    return said


def said_to(server, request: bytes) -> bytes:
    with connected(server) as wire:
        wire.sendall(request)
        return all_of(wire)


def problem_of(answer: bytes) -> tuple[int, str]:
    """Status and code of a problem, once its form is held against the contract."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ") for line in lines[1:])
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["content-length"]) == len(body)
    assert headers["connection"] == "close"
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["request_id"] == headers["x-request-id"]
    assert lines[0].startswith(f"HTTP/1.1 {problem['status']} ")
    return problem["status"], problem["code"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts segments")
def test_an_answer_is_one_piece(server) -> None:
    """Its head is not sent before its body: that would cost both sides a second look."""
    with connected(server) as wire:
        for number in range(1, 6):
            wire.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, _, body = wire.recv(65536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}".encode() in head
            assert segments(wire) == number


def segments(wire: socket.socket) -> int:
    """How many with data have come: at byte 152 of the kernel's tcp_info."""
    (count,) = struct.unpack_from("I", wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
    return int(count)


NO_HTTP = {
    "binary": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method": b"CLASSIFY /v1/classify HTTP/1.1\r\n\r\n",
    "target": b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no number": b"POST /v1/classify HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"POST /v1/classify HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\0: c\r\n\r\n",
}


@pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http_is_a_problem_like_any_other(server, client, request_):
    assert problem_of(said_to(server, request_)) == (400, "bad_http")
    assert "Invalid HTTP request" not in server.said()
    assert client.get("/readyz").status_code == 200


HEADS = {
    "one header": b"A: " + b"x" * 2 * MAX_HEAD,
    "many headers": b"A: x\r\n" * (MAX_HEAD // 5),
    "the boundary": b"Content-Type: multipart/form-data; boundary=" + b"-" * 1_000_000,
}


@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("piece", [1_000, 10_000_000])
def test_a_large_head_is_refused(server, headers, piece):
    request = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n"
    answer = b""
    with connected(server) as wire:
        try:
            for start in range(0, len(request), piece):
                wire.sendall(request[start : start + piece])
            answer = all_of(wire)
        except (BrokenPipeError, ConnectionResetError):  # it was refused, and the line closed, before all was sent
            pass
    assert not answer or problem_of(answer) == (431, "head_too_large")
    assert 'vitrail_requests_total{route="none",status="431"}' in httpx.get(f"{server.url}/metrics").text


def test_a_large_address_is_refused(server):
    assert problem_of(said_to(server, b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n")) == (431, "head_too_large")


def test_a_head_that_is_just_small_enough_is_read(client):
    assert client.get("/livez", headers={"a": "x" * (MAX_HEAD - 1000)}).status_code == 200


def test_another_protocol_is_not_spoken_and_what_follows_is_not_read(server):
    """Else the body of such a request would be taken for a request of its own."""
    upgrade = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    for kind in (b"websocket", b"h2c"):
        answer = said_to(server, b"GET /livez HTTP/1.1\r\n" + upgrade % kind + b"\r\nGET /docs HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1
    assert "upgrade" not in server.said().lower()


def test_requests_in_one_piece_are_answered_in_their_order(server):
    asked = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/livez", b"/nope", b"/readyz"))
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = said_to(server, asked + last)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200", b"200"]


def test_a_body_that_nobody_wants_does_not_end_the_connection(server):
    head = b"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19000000\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = said_to(server, head + bytes(19_000_000) + last)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n"
DRIPS = {
    "nothing": b"",
    "empty lines": b"\r\n" * 500,
    "a head": b"GET /" + b"x" * 500,
    "a body": HEAD + b"\r\n" + b"x" * 500,
    "chunks": HEAD.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked") + b"\r\n" + b"1\r\nx\r\n" * 100,
    "a body that was refused": HEAD.replace(b"classify", b"nope") + b"\r\n" + b"x" * 500,
}
AT_ONCE = {"a body": len(HEAD) + 2, "chunks": len(DRIPS["chunks"]) - 600, "a body that was refused": len(HEAD)}


def dripping(server, each: int) -> Iterator[float]:
    """Callers of every slow kind send a byte a second; yields the seconds passed, until all are closed."""
    start = time.monotonic()
    with selectors.DefaultSelector() as selector:
        left: dict[socket.socket, Iterator[int]] = {}
        for name, said in DRIPS.items():
            for _ in range(each):
                wire = connected(server)
                first = AT_ONCE.get(name, 0)
                wire.sendall(said[:first])
                wire.setblocking(False)
                selector.register(wire, selectors.EVENT_READ)
                left[wire] = iter(said[first:])
        while left:
            yield time.monotonic() - start
            gone = [key.fileobj for key, _ in selector.select(0) if is_over(key.fileobj)]
            for wire, drops in list(left.items()):
                try:
                    if wire not in gone and (drop := next(drops, None)) is not None:
                        wire.send(bytes([drop]))
                except OSError:
                    gone.append(wire)
            for wire in set(gone):
                selector.unregister(wire)
                wire.close()
                del left[wire]
            time.sleep(1)


def is_over(wire: socket.socket) -> bool:
    """Whether the server has closed; what it said before is passed over."""
    try:
        while True:
            if not wire.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_five_hundred_slow_callers_are_closed_and_the_others_do_not_feel_them(server, client, encode):
    picture, answered, passed = encode(), 0, 0.0
    for passed in dripping(server, 500 // len(DRIPS) + 1):
        assert passed < max(PATIENCE, BODY_PATIENCE) + SLACK
        for _ in range(10):
            assert client.post("/v1/classify", files={"image": picture}, timeout=5).status_code == 200
            answered += 1
    assert passed >= PATIENCE - 2
    assert answered >= 50
