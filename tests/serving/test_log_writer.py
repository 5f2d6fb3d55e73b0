"""Standard output that cannot be written or is not read does not delay requests."""

import logging
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from vitrail.serving import log_writer
from vitrail.serving.log_writer import LogWriter


def wait_until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fill(pipe: int) -> int:
    """Write until the pipe takes no more; how much it took."""
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


def ask(server, image: bytes) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert [client.post("/v1/classify", content=image).status_code for _ in range(20)] == [200] * 20
        assert client.get("/nope").status_code == 404


def dropped(server) -> float:
    return float(
        re.search(r"^vitrail_log_lines_dropped_total (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)[1]
    )


def test_output_that_cannot_be_written(start, model_file, encode):
    """Standard output is a full disk, standard error a pipe whose reader is gone."""
    command = [sys.executable, "-m", "vitrail", "serve", str(model_file), "--provider", "cpu", "--port", "{port}"]
    with (
        open("/dev/full", "wb") as full,
        closed_pipe() as closed,
        start(command, stdout=full.fileno(), stderr=closed) as server,
    ):
        ask(server, encode())
        wait_until(lambda: dropped(server) >= 21)
        assert server.stop() == 0


@pytest.mark.parametrize("command", ["vitrail", pytest.param("bentoml", marks=pytest.mark.long)])
def test_no_standard_streams(start, bentoml_serve, model_file, encode, command):
    vitrail = [sys.executable, "-m", "vitrail", "serve", str(model_file), "--provider", "cpu", "--port", "{port}"]
    run = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *(vitrail if command == "vitrail" else bentoml_serve)]
    with start(run, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as server:
        ask(server, encode())
        assert server.stop() == 0


def test_unread_pipe_does_not_block(start, bentoml_serve, model_file, encode):
    """Neither requests nor a new worker wait for its reader; a late reader gets what was logged."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu"}
    with full_pipe() as (reading, writing, taken), start(bentoml_serve, stdout=writing, **environment) as server:
        ask(server, encode())
        (worker,) = server.family()[1:]
        worker.kill()
        wait_until(lambda: len(server.family()) == 2 and worker not in server.family())
        server.wait_until_ready()
        ask(server, encode())
        while taken > 0:
            taken -= len(os.read(reading, 65536))
        said = b""
        while said.count(b'"path": "/v1/classify"') < 20 or b"another starts" not in said:  # two processes write
            assert select.select([reading], [], [], 20)[0], said
            said += os.read(reading, 65536)
        assert server.stop() == 0


@pytest.fixture
def output(monkeypatch) -> Iterator[tuple[int, int, int]]:
    """Standard output is a pipe that is full."""
    with full_pipe() as (reading, writing, taken), open(writing, "wb", closefd=False) as stream:
        monkeypatch.setattr(sys, "__stdout__", stream)
        yield reading, writing, taken


def test_lines_beyond_the_bound_are_dropped_and_counted(output, monkeypatch):
    monkeypatch.setattr(log_writer, "MAX_WAITING", 5)
    monkeypatch.setattr(log_writer, "DRAIN_TIMEOUT", 0.01)
    reading, _, taken = output
    writer, drops = LogWriter(), []
    writer.on_drop = drops.append
    writer.write("first\n")
    wait_until(lambda: not writer.lines)  # the thread has it, and waits for the reader
    for number in range(8):
        writer.write(f"{number}\n")
    assert drops == [1, 1, 1]
    writer.drain()  # comes back although nothing is read
    while taken:
        taken -= len(os.read(reading, taken))
    wait_until(lambda: not writer.lines and not writer.is_writing)
    assert os.read(reading, 100) == b"first\n0\n1\n2\n3\n4\n"


def test_failed_writes_are_counted(monkeypatch):
    with open("/dev/full", "wb") as full:
        monkeypatch.setattr(sys, "__stdout__", full)
        writer, drops = LogWriter(), []
        writer.on_drop = drops.append
        writer.write("a\n")
        writer.write("b\n")
        writer.drain()
        assert sum(drops) == 2


def test_lines_are_dropped_without_standard_output(monkeypatch):
    monkeypatch.setattr(sys, "__stdout__", None)
    writer, drops = LogWriter(), []
    writer.on_drop = drops.append
    writer.write("a\n")
    writer.drain()
    assert drops == [1]


def test_handlers_of_the_standard_streams_are_redirected(monkeypatch):
    logger = logging.getLogger("bentoml")
    mine, other = logging.StreamHandler(sys.stdout), logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115
    monkeypatch.setattr(logger, "handlers", [mine, other])
    log_writer.log_without_blocking()
    assert mine.stream is log_writer.STDOUT
    assert other.stream is not log_writer.STDOUT
    other.stream.close()


def test_last_lines_are_written_at_exit():
    """A process that ends at once, and a server that uvicorn ends by a signal."""
    program = "from vitrail.serving.log_writer import STDOUT\nfor number in range(3000): STDOUT.write(f'{number}\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [str(number) for number in range(3000)]
