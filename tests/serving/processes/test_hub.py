"""Servers of several processes: even connections, killed processes, metrics that add up, and nothing left behind."""

import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from vitrail.serving.processes.folder import PREFIX

from ...servers import Server, Start, alive
from ..conftest import Encode

URL = "/v1/classify"
PROGRAM = re.compile(r"vitrail\.serving\.processes\.(\w+)")
PNG = {"content-type": "image/png"}
FRONTS = 2


@pytest.fixture(scope="module")
def shared(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Server]:
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": str(FRONTS)}
    with start(bentoml_serve, hand_over=True, **environment) as server:
        yield server


def programs(server: Server, name: str) -> list[psutil.Process]:
    """Its processes that run this program."""
    found = []
    for process in server.family():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if (match := PROGRAM.search(line)) and match[1] == name:
            found.append(process)
    return found


def wait_until(is_so: Callable[[], bool], seconds: float = 30.0) -> float:
    """Returns the seconds until it is so."""
    begin = time.monotonic()
    while not is_so():
        assert time.monotonic() - begin < seconds, "it never became so"
        time.sleep(0.01)
    return time.monotonic() - begin


class Clients:
    """Clients that call repeatedly, each on a connection that it keeps; how calls ended, and the slowest's seconds."""

    def __init__(self, server: Server, image: bytes, count: int = 8) -> None:
        self.url, self.image = server.url + URL, image
        self.results: list[int | str] = []
        self.slowest = 0.0
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.call) for _ in range(count)]

    def call(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self.end.is_set():
                begin = time.monotonic()
                try:
                    response = client.post(self.url, content=self.image, headers={"content-type": "image/png"})
                    self.results.append(response.status_code)
                except httpx.TransportError as fault:
                    self.results.append(type(fault).__name__)
                self.slowest = max(self.slowest, time.monotonic() - begin)
                if self.results[-1] != 200:
                    time.sleep(0.02)

    def wait_for_answers(self, since: int = 0) -> None:
        wait_until(lambda: self.results[since:].count(200) > 20)

    def __enter__(self) -> "Clients":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        for thread in self.threads:
            thread.join()


LOST = {"ReadError", "RemoteProtocolError", "WriteError", "ConnectError"}  # of a connection whose process has ended


def test_connections_are_spread_evenly(shared: Server) -> None:
    """Also after some have ended: a new one goes where fewest are."""
    connections = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(33)]
    try:
        wait_until(lambda: sorted(map(len, open_connections(shared))) == [16, 17])
        for connection in connections[:20]:
            connection.close()
        wait_until(lambda: sum(map(len, open_connections(shared))) == 13)
        connections += [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(7)]
        wait_until(lambda: sorted(map(len, open_connections(shared))) == [10, 10])
    finally:
        for connection in connections:
            connection.close()


def test_it_is_ready_once_all_that_answer_have_the_model(
    start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode
) -> None:
    """Each connection may be another's: a request right after /readyz must not find the model loading."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": "4"}
    with start(bentoml_serve, hand_over=True, **environment) as server, ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=20)) for _ in range(8)]
        (engine,) = programs(server, "engine")
        for _ in range(2):
            with ThreadPoolExecutor(len(clients)) as pool:
                responses = pool.map(lambda each: each.post(URL, content=encode(), headers=PNG), clients)
            assert {response.status_code for response in responses} == {200}
            engine.kill()
            wait_until(lambda: clients[0].get("/readyz").status_code == 503)
            wait_until(lambda: clients[0].get("/readyz").status_code == 200)
            (engine,) = programs(server, "engine")


def answering(server: Server) -> list[psutil.Process]:
    """The fronts that have connections, once all that answer have one."""
    with held_by_all(server):
        return [front for front in programs(server, "front") if front.net_connections("tcp")]


def open_connections(server: Server) -> list[list[Any]]:
    """Of each front that has any."""
    of_fronts = (
        [each for each in front.net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED]
        for front in programs(server, "front")
    )
    return [connections for connections in of_fronts if connections]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_front_costs_its_own_requests_and_is_replaced(shared: Server, encode: Encode, kills: int) -> None:
    moments, said = random.Random(1), shared.read_log().count("has ended; another starts\n")
    with Clients(shared, encode()) as clients:
        clients.wait_for_answers()
        for _ in range(kills):
            time.sleep(1.5 + moments.random())  # one that ends as soon as it is ready waits longer
            victim = moments.choice(answering(shared))
            before = len(clients.results)
            victim.kill()
            victim.wait()
            assert wait_until_all_answer(shared) < 2
            clients.wait_for_answers(before)
            lost = [result for result in clients.results[before:] if result != 200]
            assert set(lost) <= LOST
            assert len(lost) <= len(clients.threads)
    assert clients.slowest < 5
    assert shared.read_log().count("has ended; another starts\n") == said + kills


def wait_until_all_answer(server: Server) -> float:
    """Returns the seconds until as many fronts have connections as should answer."""
    begin = time.monotonic()
    with held_by_all(server):
        return time.monotonic() - begin


@contextmanager
def held_by_all(server: Server) -> Iterator[None]:
    """Connections, until every front that answers has one: a new one goes to the front that has fewest."""
    with ExitStack() as held:

        def all_have_one() -> bool:
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            return len(open_connections(server)) == FRONTS

        wait_until(all_have_one)
        yield


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_engine_is_replaced_and_nobody_hangs(shared: Server, encode: Encode, kills: int) -> None:
    moments = random.Random(2)
    with Clients(shared, encode()) as clients:
        clients.wait_for_answers()
        for _ in range(kills):
            time.sleep(moments.random())
            before = len(clients.results)
            (engine,) = programs(shared, "engine")
            engine.kill()
            wait_until(lambda: httpx.get(f"{shared.url}/readyz").status_code == 503, 5)
            assert "another is starting" in httpx.get(f"{shared.url}/readyz").json()["reason"]
            wait_until(lambda: httpx.get(f"{shared.url}/readyz").status_code == 200, 60)
            clients.wait_for_answers(before)
            assert set(clients.results[before:]) <= {200, 503}  # every connection stays
    assert clients.slowest < 5


def test_metrics_add_up(shared: Server, encode: Encode) -> None:
    """Over all processes, and over one that was killed once it had answered."""
    image = encode()

    def sent(count: int) -> None:
        for _ in range(count):  # a connection each
            assert httpx.post(shared.url + URL, content=image).status_code == 200

    series = {
        "requests": ("vitrail_requests_total", "/v1/classify"),
        "as BentoML names them": ("bentoml_service_request_total", "/v1/classify"),
        "decoded": ("vitrail_stage_seconds_count", 'stage="decode"'),
        "waited": ("vitrail_stage_seconds_count", 'stage="queue"'),
        "in batches": ("vitrail_batch_images_sum", ""),
    }
    before = {name: counted(shared, *one) for name, one in series.items()}
    sent(30)
    answering(shared)[0].kill()
    wait_until_all_answer(shared)
    sent(10)
    assert {name: counted(shared, *one) - before[name] for name, one in series.items()} == dict.fromkeys(series, 40)
    assert counted(shared, "vitrail_ready", "") == 1


def counted(server: Server, metric: str, label: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric) and label in line)


def test_limits_are_those_of_the_whole_server(start: Start, bentoml_serve: list[str], model_file: Path) -> None:
    """A limit of six connections is one of six, over three processes."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_CONNECTIONS": "6"}
    with start(bentoml_serve, VITRAIL_PROCESSES="3", **environment) as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(6)]
        try:
            wait_until(lambda: list(map(len, open_connections(server))) == [2, 2, 2])
            refused = httpx.get(f"{server.url}/livez")
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        finally:
            for connection in held:
                connection.close()
        wait_until(lambda: httpx.get(f"{server.url}/livez").status_code == 200)


def test_a_front_that_hangs_does_not_take_ever_more(start: Start, bentoml_serve: list[str], model_file: Path) -> None:
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_CONNECTIONS": "4"}
    with start(bentoml_serve, VITRAIL_PROCESSES="2", **environment) as server:
        stopped = answering(server)[0]
        stopped.suspend()
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        try:
            hub = server.family()[1]
            wait_until(lambda: "connections" in refused(server))
            assert hub.num_fds() < 60
        finally:
            for connection in held:
                connection.close()
            stopped.resume()
        wait_until(lambda: httpx.get(f"{server.url}/livez").status_code == 200)


@pytest.mark.long
def test_a_front_that_hangs_is_killed_when_the_server_stops(
    start: Start, bentoml_serve: list[str], model_file: Path
) -> None:
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": "2"}
    with start(bentoml_serve, **environment) as server:
        family = server.family()
        answering(server)[0].suspend()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(50) == 0
        assert not alive(family)


def refused(server: Server) -> str:
    try:
        return httpx.get(f"{server.url}/livez", timeout=1).text
    except httpx.TransportError:  # the front that hangs has it
        return ""


def test_nothing_is_left_behind(start: Start, bentoml_serve: list[str], model_file: Path, tmp_path: Path) -> None:
    """By SIGTERM at once; by a hub that was killed, once the next server starts."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "TMPDIR": str(tmp_path)}
    with start(bentoml_serve, VITRAIL_PROCESSES="2", **environment) as server:
        family = server.family()
        assert len(folders(tmp_path)) == 1
        hub = family[1]
        hub.kill()  # BentoML's arbiter starts another
        wait_until(lambda: hub not in server.family() and len(programs(server, "front")) == 3)
        server.wait_until_ready()
        wait_until(lambda: not alive(family[2:]), 30)
        assert len(folders(tmp_path)) == 1
        whole = server.family()
    assert not alive(whole)
    assert folders(tmp_path) == []


def folders(of: Path) -> list[Path]:
    return list(of.glob(f"{PREFIX}*"))


def test_a_killed_arbiter_ends_all(start: Start, bentoml_serve: list[str], model_file: Path) -> None:
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": "2"}
    with start(bentoml_serve, **environment) as server:
        family = server.family()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not alive(family), 30)


def test_a_model_that_cannot_be_served_is_said_once(start: Start, bentoml_serve: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    environment = {"VITRAIL_MODEL": str(tmp_path / "model.onnx"), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": "2"}
    with start(bentoml_serve, ready=False, **environment) as server:
        wait_until(lambda: "not ready" in server.read_log())
        wait_until(lambda: b"cut short" in httpx.get(f"{server.url}/readyz").content)
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert server.read_log().count("not ready") == 1
