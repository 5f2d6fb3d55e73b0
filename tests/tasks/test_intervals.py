"""Wilson's interval, against values published for it."""

import pytest

from vitrail.tasks.intervals import wilson


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(hits: int, total: int, low: float, high: float) -> None:
    share = wilson(hits, total)
    assert (share.low, share.high) == pytest.approx((low, high), abs=5e-5)
    assert share.value == hits / total


def test_hits_and_misses_mirror_each_other() -> None:
    right, wrong = wilson(17, 20), wilson(3, 20)
    assert (right.low, right.high) == pytest.approx((1 - wrong.high, 1 - wrong.low))


def test_the_edges_are_exact() -> None:
    """For few and many images: the plain formula misses 0 and 1 by a rounding error at some totals."""
    totals = range(1, 200)
    assert {wilson(0, total).low for total in totals} == {0.0}
    assert {wilson(total, total).high for total in totals} == {1.0}
    assert all(0 < wilson(0, total).high < 1 and 0 < wilson(total, total).low < 1 for total in totals)


def test_it_reads_as_a_share_with_its_interval() -> None:
    assert str(wilson(345, 359)) == "0.9610 [0.9356, 0.9766]"
