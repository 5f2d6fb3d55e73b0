"""A real server under one attack at a time: its memory stays bounded, and a healthy client gets all responses."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from vitrail.bench.serve.attack import HEAD_START, MAX_GROWTH, sampled_memory, under_attack
from vitrail.bench.serve.attackers import ATTACKERS
from vitrail.bench.serve.bombs import webp
from vitrail.bench.serve.processes import resident_bytes

from ..servers import Server, Start

SECONDS = 1.5
TOO_LARGE = ("trailers", "chunk-extensions", "header-lines", "header-line")  # answered with 431
OFTEN = ("trailers", "chunk-extensions", "webp", "comments", "scans", "deep-png")


@pytest.fixture(scope="module")
def attacked(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[tuple[Server, int]]:
    """The server of all attacks, and its resident bytes after a few requests.

    Its queue is long: latency under attack is measured by the benchmark, on a quiet machine.
    """
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="20") as server:
        for _ in range(20):
            httpx.post(f"{server.url}/v1/classify", content=webp(8)).raise_for_status()
        yield server, resident_bytes(server.process.pid)


def answered_431(server: Server) -> float:
    counts = re.findall(
        r'^vitrail_requests_total\{.*status="431"\} (\S+)$', httpx.get(f"{server.url}/metrics").text, re.M
    )
    return sum(map(float, counts))


@pytest.fixture
def calm(attacked: tuple[Server, int]) -> Iterator[None]:
    """The next attack starts when the images of the last one are processed."""
    yield
    deadline = time.monotonic() + 60
    while re.search(r"^vitrail_waiting_images\{.*\} [^0]", httpx.get(f"{attacked[0].url}/metrics").text, re.M):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in ATTACKERS]
)
def test_attacks_do_not_affect_other_clients(attacked: tuple[Server, int], name: str) -> None:
    server, idle = attacked
    statuses, refused = list[int](), answered_431(server)
    with (
        httpx.Client(base_url=server.url, timeout=30) as healthy,
        sampled_memory(server.process.pid) as sampled,
        under_attack(name, server.port, HEAD_START + SECONDS),
    ):
        time.sleep(HEAD_START)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            statuses.append(healthy.post("/v1/classify", content=webp(8)).status_code)
            time.sleep(0.02)
    assert set(statuses) == {200}
    assert (answered_431(server) > refused) == (name in TOO_LARGE)
    assert max(sampled) - idle <= MAX_GROWTH
    assert server.process.poll() is None
    assert server.read_log().count("ready on CPUExecutionProvider") == 1  # by the same worker
