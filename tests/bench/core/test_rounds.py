"""Alternating rounds, and the statistics of their times."""

from collections.abc import Callable
from itertools import count

import pytest

from vitrail.bench.core.rounds import alternate, coverage, median_interval, shuffled_rounds, speedups, time_calls


class Clock:
    """A clock that only steps advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self, *seconds: float) -> Callable[[], None]:
        """A call that takes these seconds in turn, then always the last of them."""
        calls = count()

        def step() -> None:
            self.now += seconds[min(next(calls), len(seconds) - 1)]

        return step


def test_each_name_has_a_turn_in_every_round() -> None:
    lines: list[str] = []
    turns = list(shuffled_rounds("abc", 20, seed=0, progress=lines.append))
    rounds = ["".join(turns[begin : begin + 3]) for begin in range(0, 60, 3)]
    assert ["".join(sorted(each)) for each in rounds] == ["abc"] * 20
    assert len(set(rounds)) > 3
    assert lines[-1] == "round 20 of 20"
    assert turns == list(shuffled_rounds("abc", 20, seed=0))


def test_turn_is_the_median_call_after_a_warm_up() -> None:
    clock = Clock()
    assert time_calls(clock.step(9, 9, 1, 2, 6), 3, clock) == 2
    assert clock.now == 9 + 9 + 1 + 2 + 6  # three calls at the least, though two filled the time


def test_turn_repeats_calls_until_its_time_is_over() -> None:
    clock = Clock()
    assert time_calls(clock.step(0.25), 2.0, clock) == 0.25
    assert clock.now == (2 + 8) * 0.25


def test_contenders_alternate_in_an_order_that_changes() -> None:
    clock, turns = Clock(), list[str]()

    def named(name: str, seconds: float) -> Callable[[], None]:
        step = clock.step(seconds)

        def run() -> None:
            if not turns or turns[-1] != name:
                turns.append(name)
            step()

        return run

    started: list[int] = []
    steps = {"a": named("a", 1), "b": named("b", 2), "c": named("c", 4)}
    times = alternate(steps, rounds=6, seconds=1, seed=0, clock=clock, on_round=started.append)
    assert times == {"a": [1] * 6, "b": [2] * 6, "c": [4] * 6}
    assert started == list(range(6))
    again: list[str] = turns[:]
    turns.clear()
    alternate(steps, rounds=6, seconds=1, seed=0, clock=clock)
    assert turns == again  # the seed decides the order
    firsts = {"".join(again[:2])} | {"".join(again[i : i + 2]) for i in range(3, len(again) - 1, 3)}
    assert len(firsts) > 1


def test_ratios_are_taken_within_a_round() -> None:
    assert speedups([1, 2, 10], [2, 2, 5]) == [2, 1, 0.5]
    with pytest.raises(ValueError, match="shorter"):
        speedups([1, 2], [1])


@pytest.mark.parametrize(
    ("count", "cut", "expected"),
    [(5, 0, 1 - 2 / 32), (7, 0, 1 - 2 / 128), (9, 1, 1 - 2 * (1 + 9) / 512), (9, 2, 1 - 2 * (1 + 9 + 36) / 512)],
)
def test_coverage_of_order_statistics(count: int, cut: int, expected: float) -> None:
    assert coverage(count, cut) == pytest.approx(expected)


def test_interval_of_few_numbers_is_their_range() -> None:
    interval = median_interval([1.3, 1.0, 1.1, 0.9, 1.2])
    assert (interval.value, interval.low, interval.high) == (1.1, 0.9, 1.3)
    assert interval.coverage == pytest.approx(0.9375)


def test_more_numbers_give_a_narrower_interval() -> None:
    """Of 15, published tables of the sign test give the 4th and the 12th."""
    interval = median_interval(range(15, 0, -1))
    assert (interval.value, interval.low, interval.high) == (8, 4, 12)
    assert interval.coverage == pytest.approx(0.9648, abs=1e-4)


def test_one_disturbed_round_does_not_move_the_interval() -> None:
    assert median_interval([1.0] * 8 + [40.0]).high == 1.0
