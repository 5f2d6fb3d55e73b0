"""Contrasts to a chosen contender: signs, Holm's correction, verdicts, and how often equal contenders differ."""

import numpy as np
import pytest

from vitrail.training.study.statistics.contrasts import Contrast, contrasts
from vitrail.training.study.statistics.crossing import Crossing
from vitrail.training.study.statistics.findings import Forecast, Pair, SizeGap
from vitrail.training.study.statistics.forecast import forecast
from vitrail.training.study.statistics.outcomes import Outcomes


def pair(first: str, second: str, gap: float, p_value: float, images: int = 60) -> Pair:
    measured = (SizeGap(images, gap, gap - 0.01, gap + 0.02, 0.01, 0.5, p_value),)
    return Pair(first, second, measured, (), (), (), (), Crossing("refused"))


def of_pairs(*pairs: Pair) -> Forecast:
    return Forecast((30, 60), 360, 0.0, 10, (30.0, 60.0), (), pairs)


def test_the_chosen_one_is_subtracted() -> None:
    compared = contrasts(of_pairs(pair("a", "b", 0.03, 0.01), pair("b", "c", 0.04, 0.02)), ["b", "a", "c"])
    assert {name: one.gap for name, one in compared.items()} == {"a": 0.03, "c": -0.04}
    assert (compared["a"].low, compared["a"].high) == pytest.approx((0.02, 0.05))
    assert (compared["c"].low, compared["c"].high) == pytest.approx((-0.06, -0.03))


def test_p_values_are_corrected_for_the_comparisons_with_the_chosen_one_alone() -> None:
    """Holm: the smallest of three times 3, the next times 2; pairs without the chosen one do not count."""
    pairs = [pair("a", "b", 0.03, 0.03), pair("a", "c", 0.03, 0.01), pair("a", "d", 0.03, 0.2), pair("b", "c", 0, 0)]
    compared = contrasts(of_pairs(*pairs), ["a", "b", "c", "d"])
    assert {name: one.corrected for name, one in compared.items()} == pytest.approx({"b": 0.06, "c": 0.03, "d": 0.2})
    assert {name: one.p_value for name, one in compared.items()} == {"b": 0.03, "c": 0.01, "d": 0.2}
    fewer = contrasts(of_pairs(*pairs), ["a", "d", "b"])
    assert {name: one.corrected for name, one in fewer.items()} == pytest.approx({"b": 0.06, "d": 0.2})


def test_contenders_without_runs_at_the_largest_size_are_left_out() -> None:
    compared = contrasts(of_pairs(pair("a", "b", 0.03, 0.01), pair("a", "c", 0.03, 0.04, images=30)), ["a", "b", "c"])
    assert {name: one.corrected for name, one in compared.items()} == {"b": 0.01}


@pytest.mark.parametrize(
    ("gap", "corrected", "verdict"),
    [
        (0.1, 0.049, "clearly worse"),
        (-0.1, 0.049, "clearly better"),
        (0.1, 0.05, "no clear difference"),
        (-0.1, 0.9, "no clear difference"),
    ],
)
def test_verdicts(gap: float, corrected: float, verdict: str) -> None:
    assert Contrast("a", gap, gap, gap, 0.001, corrected).verdict == verdict


def verdicts(random: np.random.Generator, odds: list[float]) -> list[str]:
    """Of contenders with these log-odds of an error at one size, beside the first."""
    hard, seeds = 1.5 * random.standard_normal(200), 0.1 * random.standard_normal((len(odds), 1, 3, 1))
    chance = 1 / (1 + np.exp(-(np.array(odds)[:, None, None, None] + seeds + hard)))
    wrong = random.random(chance.shape) < chance
    names = tuple(f"c{index}" for index in range(len(odds)))
    found = forecast(Outcomes(names, (100,), (0, 1, 2), wrong), draws=20)
    return [one.verdict for one in contrasts(found, names).values()]


def test_equal_contenders_at_one_size_are_seldom_told_apart_and_others_are() -> None:
    """At most one in twenty studies may tell any of them apart."""
    random = np.random.default_rng(0)
    equal = [verdicts(random, [-2.0] * 5) for _ in range(40)]
    assert sum(any("clearly" in one for one in study) for study in equal) <= 2
    other = [verdicts(random, [-2.0, -2.0, 0.5]) for _ in range(10)]
    assert sum(study[1] == "clearly worse" for study in other) >= 9
    assert sum(study[0] == "clearly worse" for study in other) <= 1
