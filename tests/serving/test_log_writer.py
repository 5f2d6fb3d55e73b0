"""Standard output that cannot be written or is not read does not delay requests."""

import logging
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from vitrail.serving import log_writer
from vitrail.serving.log_writer import LogWriter

from ..servers import Server, Start, of_one_process
from .conftest import Encode


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fill(pipe: int) -> int:
    """Write until the pipe is full; returns the number of bytes."""
    os.set_blocking(pipe, False)
    taken = 0
    try:
        while True:
            taken += os.write(pipe, b"\n" * 4096)
    except BlockingIOError:
        os.set_blocking(pipe, True)
    return taken


@contextmanager
def full_pipe() -> Iterator[tuple[int, int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing, fill(writing)
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def send_requests(server: Server, image: bytes) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert [client.post("/v1/classify", content=image).status_code for _ in range(20)] == [200] * 20
        assert client.get("/nope").status_code == 404


def dropped(server: Server) -> float:
    counter = re.search(r"^vitrail_log_lines_dropped_total (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)
    assert counter is not None
    return float(counter[1])


def test_output_that_cannot_be_written(start: Start, model_file: Path, encode: Encode) -> None:
    """Standard output is a full disk, standard error a pipe whose reader is gone."""
    command = [sys.executable, "-m", "vitrail", "serve", str(model_file), "--provider", "cpu", "--port", "{port}"]
    with (
        open("/dev/full", "wb") as full,
        closed_pipe() as closed,
        start(command, stdout=full.fileno(), stderr=closed) as server,
    ):
        send_requests(server, encode())
        wait_until(lambda: dropped(server) >= 21)
        assert server.stop() == 0


@pytest.mark.parametrize("command", ["vitrail", pytest.param("bentoml", marks=pytest.mark.long)])
def test_no_standard_streams(
    start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode, command: str
) -> None:
    vitrail = [sys.executable, "-m", "vitrail", "serve", str(model_file), "--provider", "cpu", "--port", "{port}"]
    run = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *(vitrail if command == "vitrail" else bentoml_serve)]
    with start(run, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as server:
        send_requests(server, encode())
        assert server.stop() == 0


@of_one_process
def test_unread_pipe_does_not_block(start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode) -> None:
    """Neither requests nor a new worker wait for its reader; a late reader gets the log."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu"}
    with full_pipe() as (reading, writing, taken), start(bentoml_serve, stdout=writing, **environment) as server:
        send_requests(server, encode())
        (worker,) = server.family()[1:]
        worker.kill()
        wait_until(lambda: len(server.family()) == 2 and worker not in server.family())
        server.wait_until_ready()
        send_requests(server, encode())
        while taken > 0:
            taken -= len(os.read(reading, 65536))
        received = b""
        while (
            received.count(b'"path": "/v1/classify"') < 20 or b"another starts" not in received
        ):  # two processes write
            assert select.select([reading], [], [], 20)[0], received
            received += os.read(reading, 65536)
        assert server.stop() == 0


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int, int]]:
    """Standard output is a pipe that is full."""
    with full_pipe() as (reading, writing, taken), open(writing, "wb", closefd=False) as stream:
        monkeypatch.setattr(sys, "__stdout__", stream)
        yield reading, writing, taken


def test_lines_beyond_the_bound_are_dropped_and_counted(
    output: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_WAITING", 5)
    monkeypatch.setattr(log_writer, "DRAIN_TIMEOUT", 0.01)
    reading, _, taken = output
    writer, drops = LogWriter(), list[int]()
    writer.on_drop = drops.append
    writer.write("first\n")
    wait_until(lambda: not writer.lines)  # the thread took the line and waits for the reader
    for number in range(8):
        writer.write(f"{number}\n")
    assert drops == [1, 1, 1]
    writer.drain()  # returns although nothing is read
    while taken:
        taken -= len(os.read(reading, taken))
    wait_until(lambda: not writer.lines and not writer.is_writing)
    assert os.read(reading, 100) == b"first\n0\n1\n2\n3\n4\n"


def test_failed_writes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb") as full:
        monkeypatch.setattr(sys, "__stdout__", full)
        writer, drops = LogWriter(), list[int]()
        writer.on_drop = drops.append
        writer.write("a\n")
        writer.write("b\n")
        writer.drain()
        assert sum(drops) == 2


def test_lines_are_dropped_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    writer, drops = LogWriter(), list[int]()
    writer.on_drop = drops.append
    writer.write("a\n")
    writer.drain()
    assert drops == [1]


def test_handlers_of_the_standard_streams_are_redirected(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("bentoml")
    mine, other = logging.StreamHandler(sys.stdout), logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115
    monkeypatch.setattr(logger, "handlers", [mine, other])
    log_writer.log_without_blocking()
    assert mine.stream is log_writer.STDOUT
    assert other.stream is not log_writer.STDOUT
    other.stream.close()


def test_last_lines_are_written_at_exit() -> None:
    """A process that ends at once, and a server that uvicorn ends by a signal."""
    program = "from vitrail.serving.log_writer import STDOUT\nfor number in range(3000): STDOUT.write(f'{number}\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [str(number) for number in range(3000)]
