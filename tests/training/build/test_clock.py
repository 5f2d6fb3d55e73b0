"""Tests of the clock: it counts down over several calls, and counts images only where nothing else is said."""

import pytest

from vitrail.training.build import clock as module
from vitrail.training.build.clock import Clock, minutes


def test_time_counts_down_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lines = [100.0], list[str]()
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    clock = Clock(2, 30, lines.append)
    now[0] += 15
    assert (clock.seconds, clock.left) == (45, 75)
    clock.say("working")
    show = clock.counting("checked")
    show(5, 100)
    now[0] += 11
    show(1000, 2000)
    show(1001, 2000)
    now[0] += 11
    show(2000, 2000)
    assert lines == ["1:15 left  working", "1:04 left  checked 1,000 of 2,000 images"]
    now[0] += 1000
    assert clock.left == 0


def test_minutes_are_read_like_a_clock() -> None:
    assert [minutes(seconds) for seconds in (0, 9.6, 61, 3725)] == ["0:00", "0:10", "1:01", "62:05"]
