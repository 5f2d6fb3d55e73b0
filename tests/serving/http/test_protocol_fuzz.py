"""Malformed byte streams on raw sockets: each gets a well-formed response, or the connection closes."""

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httptools
import httpx
import pytest

from vitrail.bench.serve.bombs import webp

from ...servers import Server

IMAGE = webp(8)
AT_ONCE = 50  # streams in parallel
CALM = 0.25  # seconds without a response, after which the client shuts down its side
BOUND = 15.0  # seconds after which a connection must have been closed
GOOD, REFUSED = {100, 200}, {*range(400, 500), 501, 505}


def request(
    *headers: str, body: bytes = b"", line: str = "POST /v1/classify HTTP/1.1", host: str = "127.0.0.1"
) -> bytes:
    hosts = [f"Host: {host}"] if host else []
    return "\r\n".join([line, *hosts, *headers, "", ""]).encode() + body


def chunked(
    *chunks: bytes, last: bytes = b"0\r\n\r\n", headers: tuple[str, ...] = ("Transfer-Encoding: chunked",)
) -> bytes:
    return request(*headers, "Content-Type: image/webp", body=b"".join(chunks) + last)


def chunk(data: bytes, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return b"%x%b%b%b%b" % (len(data), extension, end, data, end)


LENGTH = f"Content-Length: {len(IMAGE)}"
WHOLE = chunk(IMAGE)
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")

# A stream, and the status of its response, or several that are allowed.
CASES: dict[str, tuple[bytes, int | tuple[int, ...]]] = {
    "chunked": (chunked(WHOLE), 200),
    "two chunks": (chunked(chunk(IMAGE[:5]), chunk(IMAGE[5:])), 200),
    "chunk extension": (chunked(chunk(IMAGE, b";name=value")), 200),
    "trailer": (chunked(WHOLE, last=b"0\r\nx-checksum: 1\r\n\r\n"), 200),
    "size is no number": (chunked(b"xyz\r\n" + IMAGE + b"\r\n"), 400),
    "size is negative": (chunked(b"-5\r\n" + IMAGE + b"\r\n"), 400),
    "size beyond 64 bits": (chunked(b"f" * 17 + b"\r\n" + IMAGE), 400),
    "size is too small": (chunked(b"5\r\n" + IMAGE + b"\r\n"), 400),
    "size ends with LF": (chunked(chunk(IMAGE, end=b"\n")), 400),
    "chunk ends with LF": (chunked(b"%x\r\n%b\n" % (len(IMAGE), IMAGE)), 400),
    "forbidden trailer": (chunked(WHOLE, last=b"0\r\nContent-Length: 5\r\n\r\n"), 400),
    "Host as a trailer": (chunked(WHOLE, last=b"0\r\nHost: evil.example\r\n\r\n"), (200, 400)),  # may be ignored
    "trailers too large": (chunked(WHOLE, last=b"0\r\n" + (b"x: " + b"a" * 8000 + b"\r\n") * 20), 431),
    "extension too large": (chunked(b"1" + b";e=a" * 40_000), 431),
    "unknown coding": (chunked(WHOLE, headers=("Transfer-Encoding: foo",)), 501),
    "gzip, chunked": (chunked(WHOLE, headers=("Transfer-Encoding: gzip, chunked",)), 501),
    "chunked, twice": (chunked(WHOLE, headers=("Transfer-Encoding: chunked, chunked",)), (400, 501)),
    "length and chunked": (chunked(WHOLE, headers=("Transfer-Encoding: chunked", LENGTH)), 400),
    "two lengths": (request(LENGTH, "Content-Length: 5", body=IMAGE), 400),
    "no Host": (request(LENGTH, body=IMAGE, host=""), 400),
    "two Hosts": (request("Host: 127.0.0.1", LENGTH, body=IMAGE), 400),
    "Host is no name": (request(LENGTH, body=IMAGE, host="a b"), (400, 403, 421)),
    "Host of another site": (request(LENGTH, body=IMAGE, host="evil.example"), (400, 403, 421)),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "h2c with a body": (request(*H2C, LENGTH, "Content-Type: image/webp", body=IMAGE), 200),
    "h2c with chunks": (chunked(WHOLE, headers=("Transfer-Encoding: chunked", *H2C)), 200),
    "h2c without a body": (request(*H2C, line="GET /livez HTTP/1.1"), 200),
    "websocket": (request("Connection: Upgrade", "Upgrade: websocket", line="GET /livez HTTP/1.1"), 200),
}  # fmt: skip


@dataclass
class Response:
    """One response, as it is parsed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Responses:
    """All responses of a connection, in order; anything but HTTP is an error of the parser."""

    def __init__(self, data: bytes) -> None:
        self.whole: list[Response] = []
        self.open: Response | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.open = Response()

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self.open is not None
        self.open.headers[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        assert self.open is not None
        self.open.body += data

    def on_message_complete(self) -> None:
        assert self.open is not None
        self.open.status = self.parser.get_status_code()
        self.whole.append(self.open)
        self.open = None


def exchange(port: int, streams: list[bytes]) -> list[bytes]:
    """Send all streams in parallel; the bytes received on each connection until it closed, within `BOUND` seconds."""
    connections = [socket.create_connection(("127.0.0.1", port), 10) for _ in streams]
    responses = dict.fromkeys(connections, b"")
    for connection, stream in zip(connections, streams, strict=True):
        with suppress(OSError):  # it may be answered and closed before all is sent
            connection.sendall(stream)
    open_connections, ended, end = set(connections), False, time.monotonic() + BOUND
    while open_connections:
        assert time.monotonic() < end, f"{len(open_connections)} connections stay open: {streams}"
        readable, _, _ = select.select(open_connections, [], [], CALM)
        if not readable and not ended:
            ended = True
            for connection in open_connections:
                connection.shutdown(socket.SHUT_WR)
        for connection in readable:
            try:
                data = connection.recv(65_536)
            except OSError:  # reset, as it may be once the response has been sent
                data = b""
            responses[connection] += data
            if not data:
                open_connections.discard(connection)
                connection.close()
    return [responses[connection] for connection in connections]


def check(stream: bytes, response: bytes) -> None:
    """No response, or well-formed ones: the requested resource, or a problem that describes the error."""
    responses = Responses(response) if response else None
    for one in responses.whole if responses else []:
        assert one.status in GOOD | REFUSED, stream
        if one.status in REFUSED:
            assert one.headers["content-type"] == "application/problem+json", stream
            problem = json.loads(one.body)
            assert problem["status"] == one.status, stream
            assert problem["code"], stream


@pytest.fixture
def port(server: Server, client: httpx.Client) -> Iterator[int]:
    yield server.port
    assert client.get("/readyz").status_code == 200
    assert 'status="500"' not in client.get("/metrics").text
    assert client.post("/v1/classify", content=IMAGE).status_code == 200


@pytest.mark.parametrize(("stream", "status"), CASES.values(), ids=CASES.keys())
def test_malformed_requests_get_their_status(port: int, stream: bytes, status: int | tuple[int, ...]) -> None:
    (response,) = exchange(port, [stream])
    check(stream, response)
    responses = Responses(response)
    assert responses.whole, "closed without an response"
    assert responses.open is None
    assert responses.whole[0].status in (status if isinstance(status, tuple) else (status,))


TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\0", b"\x7f", b"\xff", b":", b";", b",", b"0", b"-"),
    *(b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"80000000\r\n", b"0x5\r\n", b"5 \r\n", b';a="\r\n"', b"chunked"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding:\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Host: evil.example\r\n", b"Host: 127.0.0.1\r\n", b"Host:\r\n", b"Origin: http://evil.example\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\n"),
    *(b"Expect: 100-continue\r\n", b"Content-Encoding: gzip\r\n", b" folded\r\n", b"HTTP/1.0", b"HTTP/9.9", b"/../%00"),
    b"a" * 70_000,
]  # fmt: skip
SEEDS = [stream for stream, _ in CASES.values() if len(stream) < 2000] + [
    request(line="GET /v1/model HTTP/1.1"),
    request("Content-Length: 2", "Content-Type: application/json", body=b"{}", line="POST /v2/models/x/infer HTTP/1.1"),
]


def mutated(random: Random) -> bytes:
    """One or two requests after one to four changes, most of them at the ends of lines."""
    stream = b"".join(random.choices(SEEDS, k=random.choice((1, 1, 2))))
    for _ in range(random.randint(1, 4)):
        ends = [at for at in range(len(stream)) if stream[at : at + 1] in (b"\r", b"\n", b":")] or [0]
        at = random.choice(ends) if random.random() < 0.6 else random.randrange(len(stream) + 1)
        length = random.choice((0, 0, 1, 1, 2, 8))
        kind = random.random()
        if kind < 0.5:
            stream = stream[:at] + random.choice(TOKENS) + stream[at + length :]
        elif kind < 0.65:
            stream = stream[:at] + bytes([random.randrange(256)]) + stream[at + 1 :]
        elif kind < 0.8:
            stream = stream[:at] + stream[at + random.randint(1, 12) :]
        elif kind < 0.95:
            stream = stream[:at] + stream[at : at + random.randint(1, 60)] * random.randint(2, 4) + stream[at:]
        else:
            stream = stream[:at]
    return stream


@pytest.mark.parametrize(("seed", "batches"), [(0, 8), pytest.param(1, 400, marks=pytest.mark.long)])
def test_mutated_requests(port: int, seed: int, batches: int) -> None:
    random = Random(seed)
    answered = 0
    for _ in range(batches):
        streams = [mutated(random) for _ in range(AT_ONCE)]
        for stream, response in zip(streams, exchange(port, streams), strict=True):
            check(stream, response)
            answered += bool(response)
    assert answered > AT_ONCE * batches / 2  # or nothing was tested
