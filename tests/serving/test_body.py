"""Patience with slow bodies, told by a clock that a test can bear to wait for."""

import asyncio

import pytest
from starlette.requests import Request

from vitrail.serving import body, door
from vitrail.serving.door import Door, Visit
from vitrail.serving.problems import Problem


def request_of(*pauses: float, visit: Visit | None = None) -> Request:
    """A request whose body comes in pieces of 1000 bytes, each after its pause."""
    left = list(pauses)

    async def receive():
        await asyncio.sleep(left.pop(0))
        return {"type": "http.request", "body": bytes(1000), "more_body": bool(left)}

    state = {"visit": visit or Visit(Door())}
    return Request({"type": "http", "method": "POST", "path": "/", "headers": [], "state": state}, receive)


def test_a_body_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.05)
    with pytest.raises(Problem) as caught:
        asyncio.run(body.read_body(request_of(0, 0, 5)))
    assert (caught.value.status, caught.value.code) == (408, "body_too_slow")


def test_each_piece_buys_time(monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.2)
    monkeypatch.setattr(body, "SLOWEST", 5000)
    assert len(asyncio.run(body.read_body(request_of(*[0.1] * 6)))) == 6000


def test_what_all_bring_together_is_bounded_and_freed_when_they_leave(monkeypatch):
    monkeypatch.setattr(door, "MOST_HELD", 2500)
    entrance = Door()
    with entrance.visit() as first:
        assert len(asyncio.run(body.read_body(request_of(0, 0, visit=first)))) == 2000
        with pytest.raises(Problem) as caught, entrance.visit() as second:
            asyncio.run(body.read_body(request_of(0, visit=second)))
        assert (caught.value.status, caught.value.code) == (503, "busy")
        assert caught.value.headers == {"retry-after": "1"}
        assert entrance.held == 2000
    assert entrance.held == 0
    with entrance.visit() as third:
        assert len(asyncio.run(body.read_body(request_of(0, 0, visit=third)))) == 2000
