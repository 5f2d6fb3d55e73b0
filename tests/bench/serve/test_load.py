"""The load generator as a process, against a small server that counts requests."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any

import pytest

from vitrail.bench.serve.client import ask, message, multipart, run_load, write_messages
from vitrail.bench.serve.load import LoadSpec, arrivals
from vitrail.bench.serve.samples import status_counts


class Counting(ThreadingHTTPServer):
    """Responds to /good with 200, to /full with 503, and closes the connection on /gone."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Answering)


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/gone":
            self.close_connection = True
            return
        if self.path == "/work":
            end = thread_time() + 0.01  # CPU time of processes may be counted in steps of 10 ms
            while thread_time() < end:
                pass
        self.send_response(503 if self.path == "/full" else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def counting() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def spec(server: Counting, folder: Path, paths: list[str], **options: Any) -> LoadSpec:
    messages = write_messages([message(path, "text/plain", path.encode()) for path in paths], folder / "messages")
    return LoadSpec(server.server_port, messages, [os.getpid()], **options)


def test_closed_loop_client_waits_for_its_response(counting: Counting, tmp_path: Path) -> None:
    load = run_load(spec(counting, tmp_path, ["/work"], clients=3, seconds=0.4))
    assert status_counts(load.samples).keys() == {200}
    assert 0 <= len(counting.bodies) - len(load.samples) <= 3  # in flight at the end
    assert load.server_cpu > 0
    assert all(each.seconds > 0 for each in load.samples)
    busy = sum(each.seconds for each in load.samples)
    assert busy <= 3 * (load.seconds + 0.1)  # three clients, one request each at a time


def test_requests_are_sent_in_turn_and_statuses_counted(counting: Counting, tmp_path: Path) -> None:
    load = run_load(spec(counting, tmp_path, ["/good", "/full", "/gone"], clients=1, seconds=0.4))
    assert counting.bodies[:6] == [b"/good", b"/full", b"/gone"] * 2
    counts = status_counts(load.samples)
    assert counts.keys() == {0, 200, 503}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_open_loop_sends_all_requests(counting: Counting, tmp_path: Path) -> None:
    stages = [(50.0, 0.5), (200.0, 0.5)]
    load = run_load(spec(counting, tmp_path, ["/good"], stages=stages, seed=5))
    due = list(arrivals(stages, Random(5)))
    assert sorted(each.due for each in load.samples) == due
    assert len(counting.bodies) == len(due)


def test_refused_connections_are_failed_requests(tmp_path: Path) -> None:
    with Counting() as server:
        nowhere = spec(server, tmp_path, ["/good"], stages=[(40.0, 0.5)], seed=1)
    samples = run_load(nowhere).samples
    assert status_counts(samples) == {0: len(list(arrivals([(40.0, 0.5)], Random(1))))}


def test_arrivals_have_the_rate_of_their_stage() -> None:
    moments = list(arrivals([(100.0, 50.0), (1000.0, 5.0)], Random(0)))
    early = sum(moment < 50 for moment in moments)
    assert moments == sorted(moments)
    assert abs(early - 5000) < 300  # four deviations of 71
    assert abs(len(moments) - early - 5000) < 300


def test_multipart_form_has_one_file(counting: Counting) -> None:
    kind, body = multipart(b"\xff\xd8image")
    assert ask(counting.server_port, "POST", "/good", kind, body) == (200, b"ok")
    boundary = kind.partition("boundary=")[2]
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head.startswith(b"--" + boundary.encode())
    assert b'name="image"; filename=' in head
    assert rest == b"\xff\xd8image\r\n--" + boundary.encode() + b"--\r\n"
