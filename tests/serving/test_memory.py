"""Many large uploads at once: excess is refused, and the server's memory stays within its bound."""

import asyncio
import gc
import io
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from vitrail.errors import ImageError
from vitrail.model_file.classifier import Classifier
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.http.gate import MAX_HELD_BYTES

from ..servers import Server, Start
from .conftest import Encode
from .engines import local_engine

CLIENTS = 30
HELD_BACK = 1000  # bytes that each client holds back, so that no body is complete


@pytest.fixture(scope="module")
def own(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Server]:
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as server:
        yield server


def test_memory_for_all_bodies_is_bounded(own: Server, encode: Encode) -> None:
    assert CLIENTS * MAX_BODY > 2 * MAX_HELD_BYTES
    worker = own.family()[-1]
    assert httpx.post(f"{own.url}/v1/classify", content=encode()).status_code == 200
    before = worker.memory_info().rss
    line = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    head = f"{line}Content-Length: {MAX_BODY}\r\n\r\n"
    body = encode() + bytes(MAX_BODY)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", own.port), 60)) for _ in range(CLIENTS)
        ]
        for connection in connections:
            connection.sendall(head.encode() + body[: MAX_BODY - HELD_BACK])
        grown = worker.memory_info().rss - before
        assert httpx.get(f"{own.url}/readyz").status_code == 200
        for connection in connections:
            connection.sendall(body[MAX_BODY - HELD_BACK : MAX_BODY])
        responses = [connection.recv(4096) for connection in connections]
    assert grown < MAX_HELD_BYTES + 150e6
    taken = [response for response in responses if response.startswith(b"HTTP/1.1 200 ")]
    refused = [response for response in responses if response.startswith(b"HTTP/1.1 503 ")]
    assert len(taken) >= MAX_HELD_BYTES // MAX_BODY
    assert len(taken) + len(refused) == CLIENTS
    assert all(b"retry-after: 1\r\n" in response for response in refused)
    assert (
        httpx.post(f"{own.url}/v1/classify", content=body[:MAX_BODY], timeout=30).status_code == 200
    )  # there is room again


def test_decompression_bombs_stay_within_the_memory_budget(own: Server, encode: Encode) -> None:
    """32 lossless WebPs of 800 MB each, then some that fit, one at a time; other requests are served meanwhile."""
    huge, large = (squeezed(side) for side in (7071, 4000))
    assert max(len(huge), len(large)) < 100
    small, worker = encode(), own.family()[-1]
    with httpx.Client(base_url=own.url, timeout=60) as client, ThreadPoolExecutor(2) as pool:
        assert client.post("/v1/classify", content=small).status_code == 200
        before, most = worker.memory_info().rss, 0
        for sent, count, status in ((huge, 32, 422), (large, 3, 200)):
            heavy = [
                pool.submit(httpx.post, f"{own.url}/v1/classify", files=files(sent, count), timeout=60)
                for _ in range(2)
            ]
            answered = 0
            while not all(one.done() for one in heavy):
                most = max(most, worker.memory_info().rss)
                answered += client.post("/v1/classify", content=small).status_code == 200
            assert [one.result().status_code for one in heavy] == [status, status]
            assert answered
        refused = client.post("/v1/classify", content=huge, headers={"content-type": "image/webp"})
        assert (refused.status_code, refused.json()["code"]) == (413, "image_too_large")
        assert "at most 320 MB" in refused.json()["detail"]
        metrics = client.get("/metrics").text
    assert most - before < 450e6
    assert re.search(r"^vitrail_decode_reserved_bytes 0\.0$", metrics, re.MULTILINE)
    assert worker.memory_info().rss - before < 100e6  # given back


def squeezed(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "WEBP", lossless=True, quality=0, method=0)
    return file.getvalue()


def files(image: bytes, count: int) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", ("image", image, "application/octet-stream"))] * count


@pytest.mark.parametrize(
    "refused", [b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000, b"\xff\xd8\xff" + bytes(800_000)], ids=["comments", "damaged"]
)
def test_refused_image_is_freed_without_garbage_collection(refused: bytes, model_file: Path) -> None:
    """A client could send a hundred more before the next collection."""

    async def scenario() -> None:
        engine, _ = local_engine(Classifier(model_file, "cpu"))
        faults = await engine.decode([refused, refused])
        assert all(isinstance(fault, ImageError) for fault in faults)
        await engine.close()

    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        asyncio.run(scenario())
        gc.collect()
        leaked = [thing for thing in gc.garbage if isinstance(thing, ImageError)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert leaked == []
