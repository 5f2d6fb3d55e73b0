"""Statistics of two runs on the same images: against scipy, against known values, and on simulated runs."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from vitrail.training.comparison.paired import (
    LEVEL,
    POWER,
    compare_means,
    compare_right,
    holm,
    images_needed,
    mcnemar,
    score_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 21), (0, 9)])
def test_mcnemar_is_the_binomial_test_of_discordant_images(won: int, lost: int) -> None:
    expected = binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected, abs=1e-12)


def test_wilson_interval_is_scipys() -> None:
    expected = binomtest(28, 35).proportion_ci(0.9, method="wilson")
    interval = wilson_interval(28, 35)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("won", "lost", "total"), [(0, 0, 50), (7, 2, 60), (0, 5, 40), (30, 0, 30), (0, 30, 30)])
def test_score_interval_contains_the_difference_and_mirrors(won: int, lost: int, total: int) -> None:
    one, other = score_interval(won, lost, total), score_interval(lost, won, total)
    assert -1 <= one.low <= one.value == (won - lost) / total <= one.high <= 1
    assert one.low < one.high
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-6)


def test_score_interval_of_no_discordant_images() -> None:
    """Its ends are then z² / (n + z²) from zero."""
    z = 1.6448536269514722
    assert score_interval(0, 0, 50).high == pytest.approx(z**2 / (50 + z**2), abs=1e-6)


def test_coverage_of_the_interval() -> None:
    """Of simulated pairs of runs, seldom and often discordant; 1,500 draws scatter by 0.8 points."""
    random = np.random.default_rng(0)
    for only_first, only_second in ((0.02, 0.01), (0.15, 0.05)):
        shares = [only_first, only_second, 1 - only_first - only_second]
        drawn = [score_interval(int(won), int(lost), 200) for won, lost, _ in random.multinomial(200, shares, 1500)]
        covered = np.mean([one.low <= only_first - only_second <= one.high for one in drawn])
        assert 0.87 <= covered <= 0.95


def test_the_number_of_images_finds_the_difference_with_its_power() -> None:
    needed = images_needed(0.05, 0.15 - 0.05**2)
    assert needed is not None
    draws = np.random.default_rng(1).multinomial(needed, [0.10, 0.05, 0.85], 1500)
    found = np.mean([mcnemar(int(won), int(lost)) < LEVEL for won, lost, _ in draws])
    assert POWER - 0.08 <= found <= POWER + 0.04  # an exact test has a little less
    assert images_needed(0.0, 0.1) is None


def test_means_are_compared_by_the_paired_t_test() -> None:
    random = np.random.default_rng(2)
    first, second = random.normal(1.0, 1.0, (2, 60))
    difference, expected = compare_means(first, second), ttest_rel(first, second)
    interval = expected.confidence_interval(0.9)
    assert difference.p_value == pytest.approx(expected.pvalue)
    assert (difference.interval.low, difference.interval.high) == pytest.approx((interval.low, interval.high))


def test_equal_runs_have_no_difference() -> None:
    values = np.array([1.0, 0.0, 1.0, 0.5])
    assert compare_means(values, values).p_value == 1
    assert compare_right(values, values).images_needed is None


def test_holm() -> None:
    """The smallest counts three times, the next twice, and none less than one before it."""
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.3]) == [0.3]
