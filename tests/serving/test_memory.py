"""Many large uploads at once: what cannot be held is refused, and the server's memory stays within its bound."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from vitrail.serving.body import MAX_BODY
from vitrail.serving.door import MOST_HELD

CALLERS = 30
HELD_BACK = 1000  # bytes that each caller keeps, so that none is answered for a whole body


@pytest.fixture(scope="module")
def own(start, bentoml_serve, model_file) -> Iterator:
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu") as server:
        yield server


def test_what_all_callers_bring_is_bounded(own, encode):
    assert CALLERS * MAX_BODY > 2 * MOST_HELD
    worker = own.family()[-1]
    assert httpx.post(f"{own.url}/v1/classify", content=encode()).status_code == 200
    before = worker.memory_info().rss
    head = f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {MAX_BODY}\r\n\r\n"
    body = encode() + bytes(MAX_BODY)
    with ExitStack() as stack:
        wires = [
            stack.enter_context(socket.create_connection(("127.0.0.1", httpx.URL(own.url).port), 60))
            for _ in range(CALLERS)
        ]
        for wire in wires:
            wire.sendall(head.encode() + body[: MAX_BODY - HELD_BACK])
        grown = worker.memory_info().rss - before
        assert httpx.get(f"{own.url}/readyz").status_code == 200
        for wire in wires:
            wire.sendall(body[MAX_BODY - HELD_BACK : MAX_BODY])
        answers = [wire.recv(4096) for wire in wires]
    assert grown < MOST_HELD + 150e6
    taken = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200 ")]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
    assert len(taken) >= MOST_HELD // MAX_BODY
    assert len(taken) + len(refused) == CALLERS
    assert all(b"retry-after: 1\r\n" in answer for answer in refused)
    assert httpx.post(f"{own.url}/v1/classify", content=body[:MAX_BODY], timeout=30).status_code == 200  # room again
