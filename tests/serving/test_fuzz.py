"""Damaged images and odd requests through a real socket: 200 or 4xx, never 5xx."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..fuzzed import images

URL = "/v1/classify"
seeded = settings(
    max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

SENT: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "raw": lambda data: {"content": data, "headers": {"content-type": "image/png"}},
    "form": lambda data: {"files": [("image", ("a", data)), ("image", ("b", data[::-1]))]},
    "json": lambda data: {"json": {"images": [{"b64": b64encode(data).decode()}]}},
}


@pytest.fixture(autouse=True)
def nothing_is_broken(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.get("/readyz").status_code == 200
    assert 'status="500"' not in client.get("/metrics").text


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
def test_damaged_images(client: httpx.Client, sent: Callable[[bytes], dict[str, Any]]) -> None:
    @seeded
    @given(images())
    def send(data: bytes) -> None:
        response = client.post(URL, **sent(data))
        assert response.status_code in (200, 413, 415, 422)

    send()


tokens = [
    b"--x",
    b"--x--",
    b"\r\n",
    b"\n",
    b"\r",
    b"Content-Disposition: form-data; ",
    b'name="image"',
    b'; filename="',
]
tokens += [b'"', b";", b": ", b"Content-Type: ", b"image/png", b"\0", b"\xff", b"--", b"filename*=utf-8''%00", b"x"]


def test_mutated_forms(client: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}

    @seeded
    @given(st.lists(st.one_of(st.sampled_from(tokens), st.binary(max_size=4)), max_size=20).map(b"".join))
    def send(body: bytes) -> None:
        response = client.post(URL, content=body, headers=headers)
        assert response.status_code in (400, 415, 422)

    send()


def test_mutated_content_types(client: httpx.Client) -> None:
    parts = [
        "multipart/form-data",
        "application/json",
        "image/png",
        ";",
        "boundary=",
        "charset=",
        "utf-16",
        "x",
        '"',
        ",",
    ]

    @seeded
    @given(st.lists(st.sampled_from(parts), max_size=6).map("".join), st.binary(max_size=40))
    def send(kind: str, body: bytes) -> None:
        response = client.post(URL, content=body, headers={"content-type": kind})
        assert response.status_code in (400, 415, 422)

    send()
