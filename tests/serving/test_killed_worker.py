"""`kill -9` of the worker under load: some connections are lost, then a new worker is ready, or the server ends."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ..servers import Server, Start, of_one_process
from .conftest import Encode

URL = "/v1/classify"


class Clients:
    """Clients that call repeatedly, and the result of each call."""

    def __init__(self, server: Server, image: bytes, count: int = 8) -> None:
        self.server, self.image = server, image
        self.statuses: list[int | str] = []
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.call) for _ in range(count)]

    def call(self) -> None:
        while not self.end.is_set():
            try:
                response = httpx.post(self.server.url + URL, files={"image": self.image}, timeout=60)
                self.statuses.append(response.status_code)
            except httpx.TransportError as fault:
                self.statuses.append(type(fault).__name__)
                time.sleep(0.05)

    def __enter__(self) -> "Clients":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        for thread in self.threads:
            thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def own(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Server]:
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as server:
        yield server


@of_one_process
def test_killed_worker_is_replaced(own: Server, encode: Encode) -> None:
    with Clients(own, encode()) as clients:
        wait_until(lambda: clients.statuses.count(200) > 20)
        assert set(clients.statuses) == {200}
        (worker,) = own.family()[1:]
        worker.kill()
        wait_until(lambda: own.process.poll() is None and worker not in own.family() and len(own.family()) == 2)
        own.wait_until_ready()
        before = len(clients.statuses)
        wait_until(lambda: clients.statuses[before:].count(200) > 20)
    assert set(clients.statuses) - {200, 503} <= {"ReadError", "RemoteProtocolError", "ConnectError", "WriteError"}
    ready = own.read_log().index("ready on CPUExecutionProvider")
    assert own.read_log().count("ready on CPUExecutionProvider", ready + 1) == 1
    assert own.read_log().count(f"worker {worker.pid} has ended; another starts\n") == 1  # by SIGCHLD, not by polling
    assert all(httpx.post(own.url + URL, content=encode()).status_code == 200 for _ in range(20))


@of_one_process
def test_sigterm_ends_a_server_whose_worker_is_starting_again(own: Server) -> None:
    (worker,) = own.family()[1:]
    worker.kill()
    wait_until(lambda: "another starts" in own.read_log() and len(own.family()) == 2 and worker not in own.family())
    family = own.family()
    assert own.stop() == 0
    _, left = psutil.wait_procs(family, timeout=30)
    assert not left
    assert "Traceback" not in own.read_log()


def test_in_a_container_the_server_ends_with_its_worker(
    start: Start, bentoml_serve: list[str], model_file: Path
) -> None:
    """BentoML does not restart the worker there: the container is restarted from outside."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "BENTOML_CONTAINERIZED": "true"}
    with start(bentoml_serve, **environment) as server:
        family = server.family()
        family[1].kill()
        assert server.process.wait(60) != 0
        _, left = psutil.wait_procs(family[1:], timeout=30)
        assert not left
