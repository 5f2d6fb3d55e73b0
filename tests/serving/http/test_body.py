"""Bodies that are slow or too large, with short timeouts."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from vitrail.serving.http import body, gate
from vitrail.serving.http.gate import Gate, InFlightRequest
from vitrail.serving.http.problems import Problem


def request_of(*pauses: float, in_flight: InFlightRequest | None = None) -> Request:
    """A request whose body comes in pieces of 1000 bytes, each after its pause."""
    left = list(pauses)

    async def receive() -> Message:
        await asyncio.sleep(left.pop(0))
        return {"type": "http.request", "body": bytes(1000), "more_body": bool(left)}

    state = {"in_flight": in_flight or InFlightRequest(Gate())}
    return Request({"type": "http", "method": "POST", "path": "/", "headers": [], "state": state}, receive)


def test_stalled_body_returns_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT", 0.05)
    with pytest.raises(Problem) as caught:
        asyncio.run(body.read_body(request_of(0, 0, 5)))
    assert (caught.value.status, caught.value.code) == (408, "body_too_slow")


def test_received_bytes_extend_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT", 0.2)
    monkeypatch.setattr(body, "MIN_BODY_RATE", 5000)
    assert len(asyncio.run(body.read_body(request_of(*[0.1] * 6)))) == 6000


def test_held_bytes_are_bounded_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_HELD_BYTES", 2500)
    shared_gate = Gate()
    with shared_gate.track() as first:
        assert len(asyncio.run(body.read_body(request_of(0, 0, in_flight=first)))) == 2000
        with pytest.raises(Problem) as caught, shared_gate.track() as second:
            asyncio.run(body.read_body(request_of(0, in_flight=second)))
        assert (caught.value.status, caught.value.code) == (503, "busy")
        assert caught.value.headers == {"retry-after": "1"}
        assert shared_gate.held_bytes == 2000
    assert shared_gate.held_bytes == 0
    with shared_gate.track() as third:
        assert len(asyncio.run(body.read_body(request_of(0, 0, in_flight=third)))) == 2000


def throttled(monkeypatch: pytest.MonkeyPatch, shared_gate: Gate, in_flight: InFlightRequest) -> int:
    """Bytes of a body of 4000, large from 2000 on, that wait for the rate."""
    taken: list[int] = []

    async def take(count: int) -> float:
        taken.append(count)
        return 30.0  # longer than any real wait

    monkeypatch.setattr(body, "LARGE", 2000)
    monkeypatch.setattr(shared_gate.large_bodies, "take", take)
    assert len(asyncio.run(body.read_body(request_of(0, 0, 0, 0, in_flight=in_flight)))) == 4000
    return sum(taken)


def test_only_the_rest_of_a_large_body_is_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_gate = Gate()
    with shared_gate.track(), shared_gate.track() as large:
        assert throttled(monkeypatch, shared_gate, large) == 2000


def test_large_bodies_alone_are_not_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_gate = Gate()
    with shared_gate.track() as first:
        assert throttled(monkeypatch, shared_gate, first) == 0
    with shared_gate.track() as second:
        assert throttled(monkeypatch, shared_gate, second) == 0


def test_large_bodies_are_throttled_for_a_moment_after_a_small_request(monkeypatch: pytest.MonkeyPatch) -> None:
    shared_gate = Gate()
    with shared_gate.track():
        pass
    with shared_gate.track() as large:
        assert throttled(monkeypatch, shared_gate, large) == 2000
        monkeypatch.setattr(gate, "OTHERS_PAUSE", 0.0)
        assert throttled(monkeypatch, shared_gate, large) == 0
