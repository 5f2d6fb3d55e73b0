"""What requests in flight may hold and receive, and how they end; in simulated time."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from vitrail.serving.http import gate
from vitrail.serving.http.gate import DRAIN_TIMEOUT, OTHERS_PAUSE, POLL_INTERVAL, Gate, InFlightRequest, Throttle

from ..simulated import simulate, until

SIGNAL = signal.SIGUSR1


@pytest.fixture
def ended() -> Iterator[list[float]]:
    """The times at which the server's own handler of the signal was called."""
    times: list[float] = []
    before = signal.signal(SIGNAL, lambda number, frame: times.append(asyncio.get_running_loop().time()))
    yield times
    signal.signal(SIGNAL, before)


def test_rate_is_shared_first_come_first_served() -> None:
    async def scenario() -> None:
        throttle = Throttle(100)
        assert await throttle.take(50) == 0
        assert [*await asyncio.gather(throttle.take(100), throttle.take(50))] == [0.5, 1.5]
        await until(10)
        assert await throttle.take(50) == 0
        assert await throttle.take(50) == 0.5  # the pause before saved nothing up

    simulate(scenario)


def test_reserved_bytes_are_bounded_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_HELD_BYTES", 100)
    shared = Gate()
    with shared.track() as first:
        assert first.reserve(60)
        with shared.track() as second:
            assert second.reserve(40)
            assert not second.reserve(1)
            assert not first.reserve(1)
        assert first.reserve(40)
    assert (shared.held_bytes, shared.in_flight) == (0, set())


def test_small_requests_count_until_a_moment_after_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(gate, "monotonic", lambda: now)
    shared = Gate()
    assert not shared.has_small_requests()
    with shared.track() as large:
        large.is_large = True
        assert not shared.has_small_requests()
    assert not shared.has_small_requests()
    with shared.track():
        now += 10
        assert shared.has_small_requests()
    now += OTHERS_PAUSE - 0.01
    assert shared.has_small_requests()
    now += 0.02
    assert not shared.has_small_requests()


def test_large_body_waits_only_beside_small_requests() -> None:
    async def scenario() -> None:
        shared = Gate()
        shared.large_bodies.rate = 100
        with shared.track() as large:
            assert [await large.receive_large(100) for _ in range(2)] == [0, 0]
            assert large.is_large
            with shared.track():
                assert [await large.receive_large(100) for _ in range(2)] == [0, 1]

    simulate(scenario)


def test_signal_closes_the_gate_and_is_passed_on_once_requests_have_ended(ended: list[float]) -> None:
    async def scenario() -> None:
        shared = Gate()
        with shared.close_on(SIGNAL):
            with shared.track() as early:
                signal.raise_signal(SIGNAL)
                await until(1)
                assert not shared.is_open
                late = InFlightRequest(shared)
                shared.in_flight.add(late)  # stays there: it is not waited for
                assert (early.admitted_in_time, late.admitted_in_time) == (True, False)
                assert not ended
            await until(2)
            assert ended == [pytest.approx(1, abs=2 * POLL_INTERVAL)]

    simulate(scenario)


def test_request_that_does_not_end_is_given_up(ended: list[float]) -> None:
    async def scenario() -> None:
        shared = Gate()
        with shared.close_on(SIGNAL), shared.track():
            signal.raise_signal(SIGNAL)
            await until(DRAIN_TIMEOUT - 0.1)
            assert not ended
            await until(DRAIN_TIMEOUT + 0.1)
            assert ended == [DRAIN_TIMEOUT]

    simulate(scenario)


def test_second_signal_takes_effect_at_once(ended: list[float]) -> None:
    async def scenario() -> None:
        shared = Gate()
        with shared.close_on(SIGNAL), shared.track():
            signal.raise_signal(SIGNAL)
            await until(1)
            signal.raise_signal(SIGNAL)
            assert ended == [1]

    simulate(scenario)


def test_handler_is_restored() -> None:
    async def scenario() -> None:
        before = signal.getsignal(SIGNAL)
        with Gate().close_on(SIGNAL):
            assert signal.getsignal(SIGNAL) is not before
        assert signal.getsignal(SIGNAL) is before

    simulate(scenario)
