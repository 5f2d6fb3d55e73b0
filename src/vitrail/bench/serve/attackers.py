"""Attackers, and the process that runs one; each is bounded in time, bytes and connections.

python -m vitrail.bench.serve.attackers NAME PORT SECONDS
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, repeat
from time import monotonic

from vitrail.bench.serve import bombs
from vitrail.bench.serve.client import BOUNDARY

MAX_BYTES = 1_000_000_000  # of all connections together
PIECE = 65_536  # bytes
REST = 0.02  # seconds before a closed connection is reopened
IMAGES = 32  # that a request may have
LARGE_WEBP, LARGE_PNG, LARGE_SCANS = 4300, 6000, 3100  # sides of images that are decoded, within 320 MB

Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Attacker:
    """What each of its connections sends, piece by piece, until the pieces or the time end.

    Valid requests come on few connections: on many they would be load, which `overload` measures.
    With `reads` it reads responses as they come; else none, so that they pile up in the server.
    """

    pieces: Callable[[], Pieces]
    connections: int = 1
    pause: float = 0.0  # seconds between two pieces
    reads: bool = True


def head(*headers: str, method: str = "POST", path: str = "/v1/classify") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers)
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED = head("Content-Type: image/webp", "Transfer-Encoding: chunked")
OPEN_HEAD = head()[:-2]  # another header may follow
LINES = (b"x: " + b"a" * 8000 + b"\r\n") * 8


def trailers() -> Pieces:
    small = bombs.webp(8)
    return chain([CHUNKED + b"%x\r\n%b\r\n0\r\n" % (len(small), small)], repeat(LINES))


def chunk_extensions() -> Pieces:
    return chain([CHUNKED + b"1"], repeat(b";e=a" * (PIECE // 4)))


def header_lines() -> Pieces:
    return chain([OPEN_HEAD], repeat(LINES))


def header_line() -> Pieces:
    return chain([OPEN_HEAD + b"x: "], repeat(b"a" * PIECE))


def one_byte_chunks() -> Pieces:
    return chain([CHUNKED], repeat(b"1\r\nx\r\n" * (PIECE // 6)))


def slow_heads() -> Pieces:
    return chain([OPEN_HEAD + b"x: "], repeat(b"a"))


def slow_bodies() -> Pieces:
    return chain([head("Content-Type: image/png", "Content-Length: 1000000")], repeat(b"a"))


def pipelined() -> Pieces:
    image = bombs.webp(8)
    request = head("Content-Type: image/webp", f"Content-Length: {len(image)}") + image
    return repeat(request * 100)


def unread_responses() -> Pieces:
    return repeat(head(method="GET", path="/docs.json") * 100)


def silence() -> Pieces:
    return repeat(b"")


def one_image(make: Callable[[], bytes]) -> Pieces:
    image = make()
    yield head("Content-Type: image/any", "Connection: close", f"Content-Length: {len(image)}")
    yield from in_pieces(image)


def many_images(make: Callable[[], bytes]) -> Pieces:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'.encode()
    body = (part + make() + b"\r\n") * IMAGES + f"--{BOUNDARY}--\r\n".encode()
    form = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    yield head(form, "Connection: close", f"Content-Length: {len(body)}")
    yield from in_pieces(body)


def in_pieces(data: bytes) -> Pieces:
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))


ATTACKERS = {
    "trailers": Attacker(trailers),
    "chunk-extensions": Attacker(chunk_extensions),
    "header-lines": Attacker(header_lines),
    "header-line": Attacker(header_line),
    "one-byte-chunks": Attacker(one_byte_chunks),
    "slow-heads": Attacker(slow_heads, connections=300, pause=1.0),
    "slow-bodies": Attacker(slow_bodies, connections=300, pause=1.0),
    "pipelined": Attacker(pipelined, connections=4, reads=False),
    "unread-responses": Attacker(unread_responses, connections=8, reads=False),
    "silent-connections": Attacker(silence, connections=500, pause=1.0),
    "webp": Attacker(partial(many_images, bombs.webp), connections=4),
    "comments": Attacker(partial(one_image, cache(bombs.many_comments)), connections=2),
    "scans": Attacker(partial(many_images, cache(bombs.many_scans)), connections=4),
    "deep-png": Attacker(partial(many_images, cache(bombs.deep_png)), connections=4),
    "large-webp": Attacker(partial(many_images, partial(bombs.webp, LARGE_WEBP)), connections=4),
    "large-png": Attacker(partial(many_images, cache(partial(bombs.deep_png, LARGE_PNG))), connections=4),
    "large-scans": Attacker(partial(many_images, cache(partial(bombs.many_scans, LARGE_SCANS))), connections=4),
}


class Budget:
    """The bytes that may still be sent, and the deadline."""

    def __init__(self, seconds: float) -> None:
        self.end = monotonic() + seconds
        self.left = MAX_BYTES

    @property
    def exhausted(self) -> bool:
        return self.left <= 0 or monotonic() >= self.end


async def attack(attacker: Attacker, port: int, seconds: float) -> int:
    """Runs all connections; returns the bytes sent."""
    budget = Budget(seconds)
    connections = asyncio.gather(*(reconnect(attacker, port, budget) for _ in range(attacker.connections)))
    with suppress(TimeoutError):
        await asyncio.wait_for(connections, seconds)
    return MAX_BYTES - budget.left


async def reconnect(attacker: Attacker, port: int, budget: Budget) -> None:
    """One connection after another: servers close abusive ones."""
    while not budget.exhausted:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(send(attacker, writer, budget), receive(attacker, reader))
            finally:
                writer.transport.abort()
        await asyncio.sleep(REST)


async def send(attacker: Attacker, writer: asyncio.StreamWriter, budget: Budget) -> None:
    for piece in attacker.pieces():
        if budget.exhausted:
            return
        writer.write(piece)
        budget.left -= len(piece)
        await writer.drain()  # fails once the server has closed
        await asyncio.sleep(attacker.pause)


async def receive(attacker: Attacker, reader: asyncio.StreamReader) -> None:
    """Read until the server closes, which ends this connection; without `reads`, only what asyncio reads ahead."""
    while attacker.reads:
        if not await reader.read(PIECE):
            raise ConnectionResetError("the server has closed")


if __name__ == "__main__":
    asyncio.run(attack(ATTACKERS[sys.argv[1]], int(sys.argv[2]), float(sys.argv[3])))
