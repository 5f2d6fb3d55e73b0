"""Attackers are bounded, and results are compared with their bounds."""

import asyncio
import contextlib
from itertools import islice

import pytest

from vitrail.bench.core.rounds import MedianInterval
from vitrail.bench.serve import attackers
from vitrail.bench.serve.attack import AttackResult
from vitrail.bench.serve.attackers import ATTACKERS, Attacker, attack
from vitrail.bench.serve.table import attack_text


@pytest.mark.parametrize("name", ATTACKERS)
def test_attackers_send_in_pieces(name: str) -> None:
    pieces = list(islice(ATTACKERS[name].pieces(), 400))
    assert max(map(len, pieces)) <= 4 * attackers.PIECE
    assert b"".join(pieces).startswith((b"POST /", b"GET /", b""))
    assert sum(map(len, pieces)) <= 50e6


@pytest.mark.parametrize("name", ["webp", "comments", "scans", "deep-png"])
def test_images_come_in_whole_requests_within_the_body_limit(name: str) -> None:
    head, _, body = b"".join(ATTACKERS[name].pieces()).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert len(body) <= 20_000_000


def serve_and_attack(attacker: Attacker, seconds: float, response: bytes | None) -> tuple[int, int, int]:
    """Bytes sent, bytes received, and connections, of a server that reads all and responds, or closes at once."""
    received = connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received, connections
        connections += 1
        with contextlib.suppress(ConnectionError):
            while response is not None and (data := await reader.read(65_536)):
                received += len(data)
                writer.write(response)
        writer.close()

    async def both() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await attack(attacker, server.sockets[0].getsockname()[1], seconds)

    return asyncio.run(both()), received, connections


def test_attack_ends_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attackers, "MAX_BYTES", 1_000_000)
    sent, received, connections = serve_and_attack(ATTACKERS["header-line"], 3.0, response=b"")
    assert 1_000_000 <= sent < 1_000_000 + attackers.PIECE
    assert received <= sent
    assert connections == 1


def test_attack_ends_with_its_time_and_has_its_connections() -> None:
    slow = Attacker(lambda: iter([b"a"] * 1000), connections=7, pause=0.1)
    sent, _, connections = serve_and_attack(slow, 0.5, response=b"")
    assert 7 <= sent <= 7 * 6
    assert connections == 7


def test_closed_connection_is_reopened() -> None:
    _, _, connections = serve_and_attack(ATTACKERS["header-line"], 0.5, response=None)
    assert connections > 1


def test_table_counts_results_within_bounds() -> None:
    ratio = MedianInterval(2.5, 1.5, 3.5, 0.9375)
    results = (
        AttackResult("trailers", 12_000_000, 5.0, 12.5, ratio, 0),
        AttackResult("webp", 451_000_000, 5.0, 12.5, ratio, 3),
        AttackResult("scans", 0, 5.0, 12.5, MedianInterval(3.9, 3.0, 4.1, 0.9375), 0),
    )
    assert [each.within_bounds for each in results] == [True, False, False]
    text = attack_text(results)
    assert text.splitlines()[2].split() == ["trailers", "12", "5.0", "12.5", "2.500", "[1.500,", "3.500]", "0"]
    assert text.endswith("1 of 3 within + 450 MB and 4 × its own p98")
