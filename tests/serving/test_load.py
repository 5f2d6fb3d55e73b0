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

import httpx
import numpy as np
import pytest

from vitrail.cli import main
from vitrail.errors import ImageError
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving import settings
from vitrail.serving.engine.admission import SHORT_QUEUE, RateEstimate
from vitrail.serving.engine.batcher import BatchFailed
from vitrail.serving.engine.engine import Engine, batch_size, padded
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.problems import Problem

URL = "/v1/classify"


def files(*images: bytes):
    return [("image", ("image", data, "application/octet-stream")) for data in images]


def number(server, line: str) -> float:
    """One number of /metrics."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shares(prediction) -> dict[int, float]:
    return {label["index"]: label["probability"] for label in prediction["labels"]}


@pytest.fixture(scope="module")
def heavy(encode) -> bytes:
    """A small file of many pixels: it keeps a decoder busy for long enough to be seen waiting."""
    return encode(size=(3000, 3000))


@pytest.fixture(scope="module")
def narrow(start, bentoml_serve, model_file) -> Iterator:
    """A server with the shortest queue allowed."""
    limits = {"VITRAIL_QUEUE": "32", "VITRAIL_WAIT": "60"}
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", **limits) as server:
        yield server


def test_predictions_do_not_depend_on_the_batch(server, encode):
    """Clients send one to seven images, all at once; then each image again, alone."""
    requests = [[encode(seed=10 * caller + i) for i in range(1 + caller % 7)] for caller in range(40)]
    images, batches = ('vitrail_stage_seconds_count{stage="queue"}', "vitrail_batch_images_count")
    before = [number(server, line) for line in (images, batches)]
    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda sent: client.post(URL, files=files(*sent), params={"top_k": 10}), requests))
        rises = [number(server, line) - old for line, old in zip((images, batches), before, strict=True)]
        assert rises[0] == sum(map(len, requests))
        assert rises[1] < rises[0]  # some were computed together
        for sent, answer in zip(requests, answers, strict=True):
            assert answer.status_code == 200
            for image, prediction in zip(sent, answer.json()["predictions"], strict=True):
                alone = client.post(URL, files=files(image), params={"top_k": 10}).json()["predictions"][0]
                assert shares(prediction) == pytest.approx(shares(alone), abs=1e-6)


def test_requests_in_one_batch_get_their_own_rows(model_file):
    """Requests gather while the worker thread is busy; one batch gives each the outputs it gets alone."""
    model = Classifier(model_file, "cpu")
    canvases = [mosaic(4, seed, 8, 8) for seed in range(24)]
    alone = [model.predict(canvas[None]) for canvas in canvases]

    async def scenario() -> None:
        engine = Engine(Gate())
        engine.model = model
        held = threading.Event()
        engine.worker.submit(held.wait)
        first = asyncio.create_task(engine.predict(canvases[:1]))
        await asyncio.sleep(0)  # the first is handed to the worker thread
        others = [asyncio.create_task(engine.predict(canvases[i : i + 1])) for i in range(1, 20)]
        several = asyncio.create_task(engine.predict(canvases[20:]))
        while len(engine.batcher.waiting) < 23:
            await asyncio.sleep(0)
        held.set()
        found = [*await asyncio.gather(first, *others), await several]
        await engine.close()
        for column in ("probabilities", "logits", "embedding"):
            rows = np.concatenate([getattr(answers, column) for answers in found])
            assert np.abs(rows - np.concatenate([getattr(answers, column) for answers in alone])).max() < 1e-6

    asyncio.run(scenario())


def test_batches_are_padded_to_buckets_on_a_gpu(model_file):
    model = Classifier(model_file, "cpu")
    assert [batch_size(model, count) for count in (1, 3, 9)] == [1, 3, 9]
    model.provider = "CUDAExecutionProvider"
    assert [batch_size(model, count) for count in (1, 3, 9)] == [1, 4, 16]
    batch = np.full([3, 2, 2, 3], 7, np.uint8)
    assert padded(batch, 3) is batch
    assert padded(batch, 4)[:3].tolist() == batch.tolist()
    assert padded(batch, 4)[3].max() == 0


def test_overload_returns_503_and_recovers(narrow, heavy, encode):
    """A request that fills the queue, and many more after it: 200 or 503, and then the server recovers."""
    with httpx.Client(base_url=narrow.url, timeout=30) as client, ThreadPoolExecutor(12) as pool:
        first = pool.submit(client.post, URL, files=files(*[heavy] * 32))
        wait_until(lambda: number(narrow, 'vitrail_waiting_images{stage="decode"}') == 32)
        answers = list(pool.map(lambda seed: client.post(URL, files=files(encode(seed=seed))), range(60)))
        assert {answer.status_code for answer in answers} <= {200, 503}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert {(answer.json()["code"], answer.headers["retry-after"]) for answer in refused} == {("busy", "1")}
        assert first.result().status_code == 200
        assert number(narrow, 'vitrail_refused_total{reason="busy"}') == len(refused)
        assert client.post(URL, files=files(*[encode()] * 32)).status_code == 200
    assert number(narrow, 'vitrail_waiting_images{stage="decode"}') == 0
    assert number(narrow, 'vitrail_waiting_images{stage="infer"}') == 0
    assert httpx.get(f"{narrow.url}/readyz").status_code == 200


@pytest.mark.long
def test_recovery_after_twice_the_sustainable_load(narrow, encode):
    """Requests come at a fixed rate, whether others are answered or not; afterwards none is refused."""
    image, seconds = encode(size=(2000, 2000)), 4
    limits = httpx.Limits(max_connections=None)

    async def call(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(narrow.url + URL, files=files(image))

    async def scenario() -> None:
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            start = time.perf_counter()
            assert {answer.status_code for answer in await asyncio.gather(*(call(client) for _ in range(30)))} == {200}
            pause = (time.perf_counter() - start) / 30 / 2.5
            calls = []
            for _ in range(max(150, int(seconds / pause))):
                calls.append(asyncio.create_task(call(client)))
                await asyncio.sleep(pause)
            answers = await asyncio.gather(*calls)
            assert {answer.status_code for answer in answers} == {200, 503}
            assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)
            await asyncio.sleep(1)
            for _ in range(3):  # idle, and then as many at once as may wait
                again = await asyncio.gather(*(call(client) for _ in range(32)))
                assert {answer.status_code for answer in again} == {200}
                await asyncio.sleep(0.5)

    asyncio.run(scenario())


def test_bad_image_does_not_affect_others(server, encode):
    """In one request, and in requests that are computed together."""
    good = [encode(seed=seed) for seed in range(31)]
    bad = encode()[:60]
    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(32) as pool:
        alone = [shares(client.post(URL, files=files(data)).json()["predictions"][0]) for data in good]
        mixed = client.post(URL, files=files(*good[:17], bad, *good[17:]))
        assert mixed.status_code == 200
        found = mixed.json()["predictions"]
        assert found.pop(17)["error"]["code"] == "corrupt_image"
        for one, expected in zip(found, alone, strict=True):
            assert shares(one) == pytest.approx(expected, abs=1e-6)
        answers = list(pool.map(lambda data: client.post(URL, files=files(data)), [*good, bad]))
        assert answers.pop().json()["code"] == "corrupt_image"
        for answer, expected in zip(answers, alone, strict=True):
            assert shares(answer.json()["predictions"][0]) == pytest.approx(expected, abs=1e-6)


def test_disconnected_client_costs_no_decoding(narrow, heavy, encode):
    before = number(narrow, 'vitrail_stage_seconds_count{stage="decode"}')
    request = httpx.Request("POST", narrow.url + URL, files=files(*[heavy] * 32))
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", httpx.URL(narrow.url).port), 10) as connection:
        connection.sendall(f"POST {URL} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        wait_until(lambda: number(narrow, 'vitrail_waiting_images{stage="decode"}') == 32)
    wait_until(lambda: number(narrow, 'vitrail_refused_total{reason="gone"}') == 1)
    assert number(narrow, 'vitrail_waiting_images{stage="decode"}') == 0
    assert httpx.post(narrow.url + URL, files=files(encode())).status_code == 200  # there is room again
    assert number(narrow, 'vitrail_stage_seconds_count{stage="decode"}') - before < 33


def test_late_request_returns_504(start, bentoml_serve, model_file, heavy, encode):
    limits = {"VITRAIL_DEADLINE": "0.25", "VITRAIL_PROVIDER": "cpu"}
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), **limits) as server:
        late = httpx.post(server.url + URL, files=files(*[heavy] * 32), timeout=30)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
        assert late.json()["detail"].startswith("no response within 0.25 seconds")
        assert number(server, 'vitrail_refused_total{reason="late"}') == 1
        wait_until(lambda: httpx.post(server.url + URL, files=files(encode())).status_code == 200)


def test_sigterm_under_load_completes_requests_in_flight(start, bentoml_serve, model_file, heavy, encode):
    """One client is still sending, others wait for their responses; new requests get 503."""
    image = encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
    with (
        start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="60") as server,
        ThreadPoolExecutor(2) as pool,
        socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), 20) as connection,
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
        for answer in running:
            assert answer.result().status_code == 200
            assert len(answer.result().json()["predictions"]) == 12
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.read_log()


LIMITS = {
    "VITRAIL_DEADLINE": ["0", "-1", "nan", "inf", "soon"],
    "VITRAIL_WAIT": ["0", "nan"],
    "VITRAIL_DECODE_MEMORY": ["15", "-1", "3.2e2", "all"],
    "VITRAIL_CONNECTIONS": ["0", "few"],
    "VITRAIL_ALLOW_HOST": ["a b", "https://example.com"],
    "VITRAIL_ALLOW_ORIGIN": ["example.com"],
    "VITRAIL_QUEUE": ["1", "31", "-64", "1e3", "many"],
}


def test_every_limit_is_tested() -> None:
    assert LIMITS.keys() == {f"VITRAIL_{limit.name.upper()}" for limit in dataclasses.fields(settings.Settings)}


@pytest.mark.parametrize(("name", "texts"), LIMITS.items())
def test_vitrail_serve_reports_invalid_limits(name, texts, model_file, monkeypatch, capsys):
    """Before it becomes the server, whose own log would be the only one to say it."""
    monkeypatch.setenv(name, texts[0])
    assert main(["serve", str(model_file), "--provider", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"vitrail: {name} is {texts[0]!r}; it must be a ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LIMITS.items() for text in texts])
def test_invalid_limits_leave_the_server_not_ready(monkeypatch, name, text):
    monkeypatch.setenv(name, text)

    async def scenario() -> None:
        engine = Engine(Gate())
        await engine.load("")
        assert engine.model is None
        assert engine.reason is not None
        assert engine.reason.startswith(f"{name} is {text!r}; it must be ")
        await engine.close()

    asyncio.run(scenario())


def test_queue_is_full_when_the_expected_wait_is_too_long(model_file):
    async def scenario() -> None:
        engine = Engine(Gate())
        engine.model = Classifier(model_file, "cpu")
        admission = engine.admission
        admission.max_wait = 0.5
        admission.infer_rate.update(0.2)
        admission.quick.rate.update(0.1)
        await admission.admit()
        admission.require_room(32)  # nothing waits, so there is room for a whole request
        admission.quick.images = admission.quick.requests = 2
        assert admission.expected_wait() == pytest.approx(2 * 0.2 + 2 * 0.1 / admission.quick.threads)
        await admission.admit()
        admission.quick.images = admission.quick.requests = SHORT_QUEUE - 1
        assert admission.expected_wait() > admission.max_wait
        await admission.admit()  # however slow the model, a few may wait
        admission.quick.images, admission.quick.requests = (
            128,
            2,
        )  # of many images, decoded one a turn
        await admission.admit()
        admission.quick.images = admission.quick.requests = SHORT_QUEUE
        admission.require_room(32)  # an admitted request is not refused
        with pytest.raises(Problem) as refused:
            await admission.admit()
        assert (refused.value.status, refused.value.code) == (503, "busy")
        await engine.close()

    asyncio.run(scenario())


def test_rate_ignores_other_work_of_the_worker_thread(model_file):
    """An explanation may hold the thread for seconds; that must not cause refusals afterwards."""

    async def scenario() -> None:
        engine = Engine(Gate())
        engine.model = Classifier(model_file, "cpu")
        engine.worker.submit(time.sleep, 1.0)
        await engine.predict([mosaic(4, 1, 8, 8)])
        assert 0 < engine.admission.infer_rate.seconds < 0.9
        await engine.close()

    asyncio.run(scenario())


def test_rate_follows_recent_observations():
    pace = RateEstimate()
    pace.update(0.8, 8)
    assert pace.seconds == pytest.approx(0.1)
    for _ in range(60):
        pace.update(0.3)
    assert pace.seconds == pytest.approx(0.3, rel=0.01)


def test_small_work_runs_on_the_event_loop(model_file, encode):
    """Small images need no decoder thread and fast models no worker thread; large images and slow models do."""
    model = Classifier(model_file, "cpu")
    image = encode()

    async def scenario() -> None:
        engine = Engine(Gate())
        engine.model = model
        engine.decoder.pool.shutdown()
        (canvas,) = await engine.decode([image])
        assert (canvas == model.fit(image)).all()
        (fault,) = await engine.decode([image[:-200]])
        assert isinstance(fault, ImageError)
        engine.admission.infer_rate.update(1e-5)
        engine.worker.shutdown()
        found = await engine.predict([canvas])
        assert found.logits == pytest.approx(model.predict(canvas[None]).logits, abs=1e-5)
        engine.admission.infer_rate.seconds = 1.0
        with pytest.raises(BatchFailed, match="after shutdown"):
            await engine.predict([canvas])
        with pytest.raises(RuntimeError, match="after shutdown"):
            await engine.decode([encode(size=(3000, 3000))])

    asyncio.run(scenario())
