"""Attacks below gRPC's own client, in frames of HTTP/2: memory and a healthy neighbour are watched."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving.grpc.messages import SERVICE
from vitrail.serving.grpc.receiving import OF_CALLER
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.settings import model_name

from ...servers import Server, Start, free_port

pytestmark = pytest.mark.long

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_HEADERS, ACK = 4, 1
ADDRESS = "127.0.0.2"  # of the attacker
SPARE = 150e6  # bytes that the server may grow by: about 1,000 calls wait in a queue of gRPC


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field as HPACK has it without tables and Huffman codes."""
    return b"".join([b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()])


HEAD = b"".join(
    literal(name, value)
    for name, value in {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{SERVICE}/ModelInfer",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }.items()
)


class Connection:
    """A connection of HTTP/2 that sends what its test says, as far as the server's windows allow."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), source_address=(ADDRESS, 0))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        self.windows = {0: 65_535}
        self.received = b""

    def open(self, stream: int) -> None:
        self.windows[stream] = 65_535
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, HEAD))

    def send(self, stream: int, data: bytes) -> int:
        """The number of bytes that the windows had room for."""
        self.read()
        count = max(0, min(len(data), self.windows[0], self.windows[stream], 16_384))
        self.windows[0] -= count
        self.windows[stream] -= count
        self.socket.sendall(frame(DATA, 0, stream, data[:count]))
        return count

    def read(self) -> None:
        self.socket.settimeout(0.01)
        with suppress(TimeoutError):
            while data := self.socket.recv(65_536):
                self.received += data
        self.socket.settimeout(5)
        while len(self.received) >= 9 + (length := int.from_bytes(self.received[:3])):
            kind, flags, stream = self.received[3], self.received[4], int.from_bytes(self.received[5:9])
            payload, self.received = self.received[9 : 9 + length], self.received[9 + length :]
            if kind == WINDOW_UPDATE and stream in self.windows:
                self.windows[stream] += int.from_bytes(payload)
            elif kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))

    def close(self) -> None:
        self.socket.close()


class Target:
    """The server, and its healthy client."""

    def __init__(self, server: Server, port: int, model: str) -> None:
        self.server, self.port, self.model = server, port, model

    def memory(self) -> float:
        return sum(process.memory_info().rss for process in self.server.family())

    def slowest(self, calls: int = 100, lost: float = 0.0) -> float:
        """Seconds of the slowest call of a client with another address, of whose calls this share may be lost."""
        images = triton.InferInput("image", [1, 8, 8, 3], "UINT8")
        images.set_data_from_numpy(mosaic(4, 1, 8, 8)[None])
        seconds: list[float] = []
        failed = 0
        with triton.InferenceServerClient(f"127.0.0.1:{self.port}") as client:
            for _ in range(calls):
                begin = time.perf_counter()
                try:
                    result = client.infer(self.model, [images], client_timeout=10)
                    assert result.as_numpy("logits").shape == (1, 10)
                except InferenceServerException:
                    failed += 1
                seconds.append(time.perf_counter() - begin)
        assert failed <= lost * calls
        return float(np.max(seconds))


@pytest.fixture(scope="module")
def target(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Target]:
    port = free_port()
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_GRPC": f"127.0.0.1:{port}"}
    with start(bentoml_serve, **environment) as server:
        yield Target(server, port, model_name(Classifier(model_file, "cpu").card))


def during(target: Target, attack: Callable[[threading.Event], None], lost: float = 0.0) -> tuple[float, float]:
    """Bytes by which the server grew, and the healthy client's slowest call, while the attack went on."""
    target.slowest()
    before, stop = target.memory(), threading.Event()
    thread = threading.Thread(target=attack, args=(stop,))
    thread.start()
    try:
        time.sleep(2)
        seconds = target.slowest(lost=lost)
        return target.memory() - before, seconds
    finally:
        stop.set()
        thread.join(20)


def test_messages_that_are_not_received_yet_take_no_memory(target: Target) -> None:
    """40 messages of 19 MB, none of which is ever complete: four are received, of the others only a window comes."""
    size = 19_000_000
    sent = [0] * 40

    def attack(stop: threading.Event) -> None:
        connections = [Connection(target.port) for _ in sent]
        for connection in connections:
            connection.open(1)
            connection.send(1, b"\0" + struct.pack(">I", size))
        piece = bytes(16_384)
        while not stop.is_set():
            for number, connection in enumerate(connections):
                while sent[number] < size - len(piece) and (count := connection.send(1, piece)):
                    sent[number] += count
        for connection in connections:
            connection.close()

    grown, seconds = during(target, attack)
    assert sum(sent) > 20_000_000
    assert grown < OF_CALLER * MAX_BODY + SPARE
    assert seconds < 2


def test_a_flood_of_streams_that_are_reset_at_once_leaves_nothing_behind(target: Target) -> None:
    """gRPC's own queue of new calls, before ours, is full meanwhile: it cancels what comes, whoever it is from."""

    def attack(stop: threading.Event) -> None:
        while not stop.is_set():
            connection = Connection(target.port)
            with suppress(OSError):
                for stream in range(1, 4000, 2):
                    connection.open(stream)
                    connection.socket.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
                    if stop.is_set():
                        break
            connection.close()

    grown, _ = during(target, attack, lost=1)
    assert grown < SPARE
    time.sleep(2)  # for those that gRPC has queued
    assert target.slowest() < 2


def test_headers_without_end_are_not_collected(target: Target) -> None:
    def attack(stop: threading.Event) -> None:
        while not stop.is_set():
            connection = Connection(target.port)
            with suppress(OSError):
                connection.socket.sendall(frame(HEADERS, 0, 1, HEAD))
                while not stop.is_set():
                    fields = b"".join(literal(f"a{number}", "b" * 100) for number in range(100))
                    connection.socket.sendall(frame(CONTINUATION, 0, 1, fields))
            connection.close()

    grown, seconds = during(target, attack)
    assert grown < SPARE
    assert seconds < 2
