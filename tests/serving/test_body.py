"""Patience with slow bodies, told by a clock that a test can bear to wait for."""

import asyncio

import pytest
from starlette.requests import Request

from vitrail.serving import body
from vitrail.serving.problems import Problem


def request_of(*pauses: float) -> Request:
    """A request whose body comes in pieces of 1000 bytes, each after its pause."""
    left = list(pauses)

    async def receive():
        await asyncio.sleep(left.pop(0))
        return {"type": "http.request", "body": bytes(1000), "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def test_a_body_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.05)
    with pytest.raises(Problem) as caught:
        asyncio.run(body.read_body(request_of(0, 0, 5)))
    assert (caught.value.status, caught.value.code) == (408, "body_too_slow")


def test_each_piece_buys_time(monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.2)
    monkeypatch.setattr(body, "SLOWEST", 5000)
    assert len(asyncio.run(body.read_body(request_of(*[0.1] * 6)))) == 6000
