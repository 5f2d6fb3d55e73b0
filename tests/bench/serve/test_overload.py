"""Rounds at 80 % and 200 % of the capacity, from requests by hand."""

import pytest

from vitrail.bench.serve.overload import Round, estimate, one_round, p99_ratio
from vitrail.bench.serve.samples import Sample


def calls(begin: float, seconds: float, status: int = 200) -> list[Sample]:
    """A hundred requests in ten seconds, all equally fast."""
    return [Sample(begin + i / 10, seconds, status) for i in range(100)]


def test_round_is_the_settled_busy_part_and_the_overload() -> None:
    samples = [*calls(20, 0.1), *calls(30, 0.25), *calls(30, 0.001, 503), *calls(40, 9.0)]
    result = one_round(samples, 20, 10)
    assert result.busy == calls(20, 0.1)[10:]
    assert result.over == [*calls(30, 0.25), *calls(30, 0.001, 503)]
    assert result.goodput == 9.9  # one earlier request completes now, the last two after the round


def test_ratio_pools_all_rounds() -> None:
    busy, worse = Round(calls(0, 0.1), calls(0, 0.3), 10.0), Round(calls(0, 0.2), calls(0, 0.3), 10.0)
    assert p99_ratio([busy, busy]) == pytest.approx(3)
    assert p99_ratio([busy, worse]) == pytest.approx(1.5)


def test_interval_is_a_point_only_for_equal_rounds() -> None:
    busy, worse = Round(calls(0, 0.1), calls(0, 0.3), 10.0), Round(calls(0, 0.2), calls(0, 0.3), 10.0)
    sure = estimate("p99", p99_ratio, [busy] * 6, seed=0)
    assert (sure.low, sure.value, sure.high) == pytest.approx((3, 3, 3))
    unsure = estimate("p99", p99_ratio, [busy, busy, busy, busy, busy, worse], seed=0)
    assert unsure.low < unsure.high
    assert unsure.low <= unsure.value <= unsure.high
