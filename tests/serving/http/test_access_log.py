"""The access log: one line of JSON per request, matching by its id, not to be forged."""

import json
import time
from typing import Any

import httpx
import pytest

from vitrail.serving.http.access_log import MAX_PATH

from ...servers import Server
from ..conftest import Encode


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.read_log().splitlines() if line.startswith("{")]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """The line of this request; it is written after the response."""
    deadline = time.monotonic() + 20
    while not (matching := [line for line in lines(server) if line["request_id"] == request_id]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(matching) == 1
    return matching[0]


def test_each_request_is_logged(server: Server, client: httpx.Client, encode: Encode) -> None:
    response = client.post("/v1/classify?top_k=3", files={"image": encode()}, headers={"x-request-id": "known.1"})
    assert response.status_code == 200
    line = line_of(server, "known.1")
    assert list(line) == ["time", "request_id", "method", "path", "route", "status", "seconds"]
    assert (line["method"], line["path"], line["route"], line["status"]) == (
        "POST",
        "/v1/classify",
        "/v1/classify",
        200,
    )
    assert 0 < line["seconds"] < 30
    problem = client.post("/v1/classify", content=b"no image").json()
    assert line_of(server, problem["request_id"])["status"] == 415


@pytest.mark.parametrize(
    "path", ["/a%0d%0a%7b%22status%22:200%7d", "/%00%1b[31m", "/%e2%80%a8", "/" + "x" * 60_000, "/%ff%fe"]
)
def test_path_cannot_forge_log_lines(server: Server, client: httpx.Client, path: str) -> None:
    before = len(server.read_log().splitlines())
    request_id = client.get(path).json()["request_id"]
    line = line_of(server, request_id)
    assert (line["status"], line["route"]) == (404, "none")
    assert len(line["path"]) <= MAX_PATH
    assert len(server.read_log().splitlines()) == before + 1


def test_successful_probes_are_not_logged(server: Server, client: httpx.Client) -> None:
    line_of(server, client.get("/nope").json()["request_id"])
    before = len(lines(server))
    for path in ("/livez", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    last = client.get("/nope").json()["request_id"]
    line_of(server, last)
    assert len(lines(server)) == before + 1
