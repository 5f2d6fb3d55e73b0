"""Concurrent requests to a real server: correct responses, quick refusals, and a graceful end."""

import asyncio
import dataclasses
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from vitrail.cli import main
from vitrail.errors import ImageError
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving import settings
from vitrail.serving.engine.batcher import BatchFailed

from ..servers import Server, Start
from .conftest import Encode
from .engines import local_engine

URL = "/v1/classify"


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", ("image", data, "application/octet-stream")) for data in images]


def number(server: Server, line: str) -> float:
    """One number of /metrics."""
    match = re.search(rf"^{re.escape(line)} (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(match[1]) if match else 0.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shares(prediction: dict[str, Any]) -> dict[int, float]:
    return {label["index"]: label["probability"] for label in prediction["labels"]}


@pytest.fixture(scope="module")
def heavy(encode: Encode) -> bytes:
    """A small file of many pixels, which keeps a decoder busy long enough to be observed."""
    return encode(size=(3000, 3000))


@pytest.fixture(scope="module")
def narrow(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Server]:
    """A server with the shortest queue allowed."""
    limits = {"VITRAIL_QUEUE": "32", "VITRAIL_WAIT": "60"}
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", **limits) as server:
        yield server


def test_predictions_do_not_depend_on_the_batch(server: Server, encode: Encode) -> None:
    """Clients send one to seven images, all at once; then each image again, alone."""
    requests = [[encode(seed=10 * client + i) for i in range(1 + client % 7)] for client in range(40)]
    images, batches = ('vitrail_stage_seconds_count{stage="queue"}', "vitrail_batch_images_count")
    before = [number(server, line) for line in (images, batches)]
    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda sent: client.post(URL, files=files(*sent), params={"top_k": 10}), requests))
        rises = [number(server, line) - old for line, old in zip((images, batches), before, strict=True)]
        assert rises[0] == sum(map(len, requests))
        assert rises[1] < rises[0]  # some were computed together
        for sent, response in zip(requests, responses, strict=True):
            assert response.status_code == 200
            for image, prediction in zip(sent, response.json()["predictions"], strict=True):
                alone = client.post(URL, files=files(image), params={"top_k": 10}).json()["predictions"][0]
                assert shares(prediction) == pytest.approx(shares(alone), abs=1e-6)


@pytest.mark.parametrize("known_by", [pytest.param("connection", marks=pytest.mark.long), "proxy"])
def test_a_greedy_caller_leaves_the_decoders_to_others(server: Server, heavy: bytes, known_by: str) -> None:
    """Four connections against twenty, whose images take a decoder long; each caller has half of it."""
    connections = {"greedy": 20, "other": 4}
    answered = dict.fromkeys(connections, 0)
    end = time.monotonic() + 5

    def client(name: str) -> None:
        is_greedy = name == "greedy"
        transport = httpx.HTTPTransport(local_address="127.0.0.2" if is_greedy and known_by == "connection" else None)
        headers = {"x-forwarded-for": "192.0.2.1"} if is_greedy and known_by == "proxy" else {}
        with httpx.Client(base_url=server.url, timeout=30, transport=transport, headers=headers) as one:
            while time.monotonic() < end:
                response = one.post(URL, files=files(heavy))
                if time.monotonic() < end:
                    answered[name] += response.status_code == 200

    with ThreadPoolExecutor(sum(connections.values())) as pool:
        list(pool.map(client, [name for name, count in connections.items() for _ in range(count)]))
    assert answered["other"] >= 0.4 * sum(answered.values()) > 0


def test_requests_in_one_batch_get_their_own_rows(model_file: Path) -> None:
    """Requests gather while the worker thread is busy; one batch gives each the outputs it gets alone."""
    model = Classifier(model_file, "cpu")
    canvases = [mosaic(4, seed, 8, 8) for seed in range(24)]
    alone = [model.predict(canvas[None]) for canvas in canvases]

    async def scenario() -> None:
        engine, inference = local_engine(model)
        held = threading.Event()
        inference.worker.submit(held.wait)
        first = asyncio.create_task(engine.predict(canvases[:1]))
        await asyncio.sleep(0)  # the first is handed to the worker thread
        others = [asyncio.create_task(engine.predict(canvases[i : i + 1])) for i in range(1, 20)]
        several = asyncio.create_task(engine.predict(canvases[20:]))
        while len(inference.batcher.waiting) < 23:
            await asyncio.sleep(0)
        held.set()
        outputs = [*await asyncio.gather(first, *others), await several]
        await engine.close()
        for column in ("probabilities", "logits", "embedding"):
            rows = np.concatenate([getattr(each, column) for each in outputs])
            assert np.abs(rows - np.concatenate([getattr(each, column) for each in alone])).max() < 1e-6

    asyncio.run(scenario())


def test_overload_returns_503_and_recovers(narrow: Server, heavy: bytes, encode: Encode) -> None:
    """A request that fills the queue, and many more after it: 200 or 503, and then the server recovers."""
    with httpx.Client(base_url=narrow.url, timeout=30) as client, ThreadPoolExecutor(12) as pool:
        first = pool.submit(client.post, URL, files=files(*[heavy] * 32))
        wait_until(lambda: number(narrow, 'vitrail_waiting_images{stage="decode"}') == 32)
        responses = list(pool.map(lambda seed: client.post(URL, files=files(encode(seed=seed))), range(60)))
        assert {response.status_code for response in responses} <= {200, 503}
        refused = [response for response in responses if response.status_code == 503]
        assert refused
        assert {(response.json()["code"], response.headers["retry-after"]) for response in refused} == {("busy", "1")}
        assert first.result().status_code == 200
        assert number(narrow, 'vitrail_refused_total{reason="busy"}') == len(refused)
        assert client.post(URL, files=files(*[encode()] * 32)).status_code == 200
    assert number(narrow, 'vitrail_waiting_images{stage="decode"}') == 0
    assert number(narrow, 'vitrail_waiting_images{stage="infer"}') == 0
    assert httpx.get(f"{narrow.url}/readyz").status_code == 200


@pytest.mark.long
def test_recovery_after_twice_the_sustainable_load(narrow: Server, encode: Encode) -> None:
    """Requests come at a fixed rate, whether others are answered or not; afterwards none is refused."""
    image, seconds = encode(size=(2000, 2000)), 4
    limits = httpx.Limits(max_connections=None)

    async def call(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(narrow.url + URL, files=files(image))

    async def scenario() -> None:
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            start = time.perf_counter()
            assert {response.status_code for response in await asyncio.gather(*(call(client) for _ in range(30)))} == {
                200
            }
            pause = (time.perf_counter() - start) / 30 / 2.5
            calls = []
            for _ in range(max(150, int(seconds / pause))):
                calls.append(asyncio.create_task(call(client)))
                await asyncio.sleep(pause)
            responses = await asyncio.gather(*calls)
            assert {response.status_code for response in responses} == {200, 503}
            assert all(response.headers["retry-after"] == "1" for response in responses if response.status_code == 503)
            await asyncio.sleep(1)
            for _ in range(3):  # idle, and then as many at once as may wait
                again = await asyncio.gather(*(call(client) for _ in range(32)))
                assert {response.status_code for response in again} == {200}
                await asyncio.sleep(0.5)

    asyncio.run(scenario())


def test_bad_image_does_not_affect_others(server: Server, encode: Encode) -> None:
    """In one request, and in requests that are computed together."""
    good = [encode(seed=seed) for seed in range(31)]
    bad = encode()[:60]
    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(32) as pool:
        alone = [shares(client.post(URL, files=files(data)).json()["predictions"][0]) for data in good]
        mixed = client.post(URL, files=files(*good[:17], bad, *good[17:]))
        assert mixed.status_code == 200
        predictions = mixed.json()["predictions"]
        assert predictions.pop(17)["error"]["code"] == "corrupt_image"
        for one, expected in zip(predictions, alone, strict=True):
            assert shares(one) == pytest.approx(expected, abs=1e-6)
        responses = list(pool.map(lambda data: client.post(URL, files=files(data)), [*good, bad]))
        assert responses.pop().json()["code"] == "corrupt_image"
        for response, expected in zip(responses, alone, strict=True):
            assert shares(response.json()["predictions"][0]) == pytest.approx(expected, abs=1e-6)


def test_disconnected_client_costs_no_decoding(narrow: Server, heavy: bytes, encode: Encode) -> None:
    before = number(narrow, 'vitrail_stage_seconds_count{stage="decode"}')
    request = httpx.Request("POST", narrow.url + URL, files=files(*[heavy] * 32))
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", narrow.port), 10) as connection:
        connection.sendall(f"POST {URL} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        wait_until(lambda: number(narrow, 'vitrail_waiting_images{stage="decode"}') == 32)
    wait_until(lambda: number(narrow, 'vitrail_refused_total{reason="gone"}') == 1)
    assert number(narrow, 'vitrail_waiting_images{stage="decode"}') == 0
    assert httpx.post(narrow.url + URL, files=files(encode())).status_code == 200  # there is room again
    assert number(narrow, 'vitrail_stage_seconds_count{stage="decode"}') - before < 33


def test_late_request_returns_504(
    start: Start, bentoml_serve: list[str], model_file: Path, heavy: bytes, encode: Encode
) -> None:
    limits = {"VITRAIL_DEADLINE": "0.25", "VITRAIL_PROVIDER": "cpu"}
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), **limits) as server:
        late = httpx.post(server.url + URL, files=files(*[heavy] * 32), timeout=30)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
        assert late.json()["detail"].startswith("no response within 0.25 seconds")
        assert number(server, 'vitrail_refused_total{reason="late"}') == 1
        wait_until(lambda: httpx.post(server.url + URL, files=files(encode())).status_code == 200)


def test_sigterm_under_load_completes_requests_in_flight(
    start: Start, bentoml_serve: list[str], model_file: Path, heavy: bytes, encode: Encode
) -> None:
    """One client is still sending, others wait for their responses; new requests get 503."""
    image = encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
    with (
        start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="60") as server,
        ThreadPoolExecutor(2) as pool,
        socket.create_connection(("127.0.0.1", server.port), 20) as connection,
    ):
        connection.sendall(head.encode() + image[:100])
        running = [pool.submit(httpx.post, server.url + URL, files=files(*[heavy] * 12), timeout=30) for _ in range(2)]
        wait_until(lambda: number(server, 'vitrail_waiting_images{stage="decode"}') == 24)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        state = httpx.get(f"{server.url}/readyz")
        assert state.json() == {"ready": False, "provider": "CPUExecutionProvider", "reason": "the server is stopping"}
        for _ in range(3):
            refused = httpx.post(server.url + URL, files=files(image))
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["retry-after"] == "1"
        assert httpx.get(f"{server.url}/livez").status_code == 200
        connection.sendall(image[100:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        for response in running:
            assert response.result().status_code == 200
            assert len(response.result().json()["predictions"]) == 12
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.read_log()


LIMITS = {
    "VITRAIL_DEADLINE": ["0", "-1", "nan", "inf", "soon"],
    "VITRAIL_WAIT": ["0", "nan"],
    "VITRAIL_DECODE_MEMORY": ["15", "-1", "3.2e2", "all"],
    "VITRAIL_CONNECTIONS": ["0", "few"],
    "VITRAIL_CONCURRENCY": ["0", "few"],
    "VITRAIL_PROCESSES": ["0", "65", "some"],
    "VITRAIL_GPUS": ["0", "17", "some"],
    "VITRAIL_JPEGS": ["libjpeg"],
    "VITRAIL_GRPC": ["3001", "a b:3001", "localhost:port"],
    "VITRAIL_ALLOW_HOST": ["a b", "https://example.com"],
    "VITRAIL_ALLOW_ORIGIN": ["example.com"],
    "VITRAIL_QUEUE": ["1", "31", "-64", "1e3", "many"],
}


def test_every_limit_is_tested() -> None:
    assert LIMITS.keys() == {f"VITRAIL_{limit.name.upper()}" for limit in dataclasses.fields(settings.Settings)}


@pytest.mark.parametrize(("name", "texts"), LIMITS.items())
def test_vitrail_serve_reports_invalid_limits(
    name: str, texts: list[str], model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the server starts: afterwards only its log would show the error."""
    monkeypatch.setenv(name, texts[0])
    assert main(["serve", str(model_file), "--provider", "cpu"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"vitrail: {name} is {texts[0]!r}; it must be a ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LIMITS.items() for text in texts])
def test_invalid_limits_leave_the_server_not_ready(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)

    async def scenario() -> None:
        engine, _ = local_engine()
        await engine.load("")
        assert engine.model is None
        assert engine.reason is not None
        assert engine.reason.startswith(f"{name} is {text!r}; it must be ")
        await engine.close()

    asyncio.run(scenario())


def test_rate_ignores_other_work_of_the_worker_thread(model_file: Path) -> None:
    """An explanation may hold the thread for seconds; that must not cause refusals afterwards."""

    async def scenario() -> None:
        engine, inference = local_engine(Classifier(model_file, "cpu"))
        inference.worker.submit(time.sleep, 1.0)
        await engine.predict([mosaic(4, 1, 8, 8)])
        assert 0 < inference.infer_rate.seconds < 0.9
        await engine.close()

    asyncio.run(scenario())


def test_small_work_runs_on_the_event_loop(model_file: Path, encode: Encode) -> None:
    """Small images need no decoder thread and fast models no worker thread; large images and slow models do."""
    model = Classifier(model_file, "cpu")
    image = encode()

    async def scenario() -> None:
        engine, inference = local_engine(model)
        engine.decoder.pool.shutdown()
        (canvas,) = await engine.decode([image])
        assert isinstance(canvas, np.ndarray)
        assert (canvas == model.fit(image)).all()
        (fault,) = await engine.decode([image[:-200]])
        assert isinstance(fault, ImageError)
        inference.infer_rate.update(1e-5)
        inference.worker.shutdown()
        outputs = await engine.predict([canvas])
        assert outputs.logits == pytest.approx(model.predict(canvas[None]).logits, abs=1e-5)
        inference.infer_rate.seconds = 1.0
        with pytest.raises(BatchFailed, match="after shutdown"):
            await engine.predict([canvas])
        with pytest.raises(RuntimeError, match="after shutdown"):
            await engine.decode([encode(size=(3000, 3000))])

    asyncio.run(scenario())
