"""Rounds of calm and of overload, made of requests by hand."""

import pytest

from vitrail.bench.serve.overload import Round, estimate, one_round, p99_ratio
from vitrail.bench.serve.samples import Sample


def calls(begin: float, seconds: float, status: int = 200) -> list[Sample]:
    """A hundred in ten seconds, all answered equally fast."""
    return [Sample(begin + i / 10, seconds, status) for i in range(100)]


def test_a_round_is_the_calm_part_after_its_beginning_and_the_crowd() -> None:
    samples = [*calls(20, 0.1), *calls(30, 0.25), *calls(30, 0.001, 503), *calls(40, 9.0)]
    found = one_round(samples, 20, 10)
    assert found.busy == calls(20, 0.1)[10:]
    assert found.over == [*calls(30, 0.25), *calls(30, 0.001, 503)]
    assert found.goodput == 9.9  # one of before is answered now, the last two when the round is over


def test_the_ratio_is_that_of_all_rounds_together() -> None:
    calm, worse = Round(calls(0, 0.1), calls(0, 0.3), 10.0), Round(calls(0, 0.2), calls(0, 0.3), 10.0)
    assert p99_ratio([calm, calm]) == pytest.approx(3)
    assert p99_ratio([calm, worse]) == pytest.approx(1.5)


def test_rounds_that_are_alike_leave_no_doubt_and_others_do() -> None:
    calm, worse = Round(calls(0, 0.1), calls(0, 0.3), 10.0), Round(calls(0, 0.2), calls(0, 0.3), 10.0)
    sure = estimate("p99", p99_ratio, [calm] * 6, seed=0)
    assert (sure.low, sure.value, sure.high) == pytest.approx((3, 3, 3))
    unsure = estimate("p99", p99_ratio, [calm, calm, calm, calm, calm, worse], seed=0)
    assert unsure.low < unsure.high
    assert unsure.low <= unsure.value <= unsure.high
