"""The crossing as a set: each kind from a hand-made band."""

import numpy as np
import pytest

from vitrail.training.study.statistics.crossing import Crossing, crossing

SIZES = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0])


def crossing_of(gap: list[float], half: float | list[float]) -> Crossing:
    middle, width = np.array(gap), np.broadcast_to(half, 6)
    return crossing(SIZES, middle, middle - width, middle + width)


def test_each_ahead_somewhere_crosses_between() -> None:
    """Within ±1.5 the gap 3, 2, 1, 0, −1, −2 holds zero from half-way 200…400 to half-way 1600…3200, in log n."""
    one = crossing_of([3, 2, 1, 0, -1, -2], 1.5)
    assert (one.kind, one.leader) == ("between", 0)
    assert one.low == pytest.approx(200 * 2**0.5)
    assert one.high == pytest.approx(1600 * 2**0.5)
    assert one.point == pytest.approx(800)


def test_swapped_contenders_give_the_same_set() -> None:
    one, other = crossing_of([3, 2, 1, 0, -1, -2], 1.5), crossing_of([-3, -2, -1, 0, 1, 2], 1.5)
    assert (other.kind, other.leader) == ("between", 1)
    assert (other.low, other.high, other.point) == pytest.approx((one.low, one.high, one.point))


def test_a_leader_with_few_images_may_be_overtaken_beyond() -> None:
    one = crossing_of([3, 2, 1, 0.5, 0.2, -0.2], 1.5)
    assert (one.kind, one.leader, one.high) == ("beyond", 1, None)
    assert one.low == pytest.approx(200 * 2**0.5)
    assert one.point == pytest.approx(1600 * 2**0.5)
    assert crossing_of([3, 2, 1, 0.5, 0.2, 0.1], 1.5).point is None


def test_a_leader_with_many_images_may_have_been_behind_before() -> None:
    one = crossing_of([1, 0, -1, -2, -3, -4], 1.5)
    assert (one.kind, one.leader, one.low) == ("before", 0, None)
    assert one.high == pytest.approx(400 * 2**0.5)
    assert one.point == pytest.approx(200)


def test_a_band_that_widens_again_keeps_the_crossing() -> None:
    """Beyond the measured sizes the interval widens over zero; the crossing remains."""
    one = crossing_of([3, 2, 0, -2, -3, -3], [1, 1, 1, 1, 1, 5])
    assert (one.kind, one.leader) == ("between", 0)
    assert one.point == pytest.approx(400)


@pytest.mark.parametrize(("gap", "leader"), [([2, 2, 2, 2, 2, 2], 1), ([-2, -2, -1, -1, -2, -2], 0)])
def test_one_ahead_at_both_ends_has_no_crossing(gap: list[float], leader: int) -> None:
    assert crossing_of(gap, 1.5) == Crossing("none", leader)


def test_neither_ahead_is_undecided() -> None:
    assert crossing_of([1, 0.5, 0, 0, -0.5, -1], 1.5) == Crossing("undecided")
