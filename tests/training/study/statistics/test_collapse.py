"""Collapsed runs: found where training failed, not where seeds merely scatter; counted at the rate of the study."""

import numpy as np
import pytest

from vitrail.training.study.statistics.collapse import collapsed, drawn_factors, expected_half, shortest_half
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.synthetic import AS_ASSUMED, CASES, PAIRS, study


def runs(*errors: float, images: int = 2000) -> Outcomes:
    """One contender at one size."""
    wrong = np.zeros((1, 1, len(errors), images), bool)
    for run, error in enumerate(errors):
        wrong[0, 0, run, : round(error * images)] = True
    return Outcomes(("a",), (10,), tuple(range(len(errors))), wrong)


@pytest.mark.parametrize(
    ("errors", "flags"),
    [
        ((0.10, 0.11, 0.30), [False, False, True]),
        ((0.10, 0.29, 0.30), [False, True, True]),
        ((0.10, 0.11, 0.13), [False, False, False]),  # 1.2 times the odds
        ((0.30, 0.30, 0.30), [False, False, False]),
        ((0.90,), [False]),
    ],
)
def test_runs_far_above_the_others_of_their_cell(errors: tuple[float, ...], flags: list[bool]) -> None:
    assert collapsed(runs(*errors))[0, 0].tolist() == flags


def test_hardly_any_errors_are_no_collapse() -> None:
    """5, 3 and none of 359 images, as three runs of a CNN on digits had; 100 beside 11 and 12 are one."""
    few = runs(5 / 359, 3 / 359, 0.0, images=359)
    assert not collapsed(few).any()
    assert collapsed(runs(12 / 359, 100 / 359, 11 / 359, images=359))[0, 0].tolist() == [False, True, False]


def test_the_shortest_half_by_hand() -> None:
    assert shortest_half(np.array([0.0, 1.0, 1.5])) == pytest.approx(0.5)
    assert shortest_half(np.array([0.0, 1.0, 1.5, 9.0])) == pytest.approx(1.5)
    assert expected_half(2) == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)  # the mean distance of two normals


def test_wide_scatter_is_no_collapse() -> None:
    """A ratio of 1.7 in the odds is, where seeds scatter as much at other sizes."""
    cells = [(0.1, 0.13, 0.17), (0.1, 0.14, 0.18), (0.1, 0.102, 0.16)]
    wrong = np.concatenate([runs(*errors).wrong for errors in cells], axis=1)
    assert not collapsed(Outcomes(("a",), (1, 2, 3), (0, 1, 2), wrong)).any()


def test_synthetic_runs_that_collapsed_are_found_and_hardly_any_others() -> None:
    case = next(one for one in CASES if one.collapsed)
    random = np.random.default_rng(0)
    shares = [collapsed(study(PAIRS[index % len(PAIRS)], 3, 2000, random, case)).mean() for index in range(56)]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.03)
    usual = [collapsed(study(PAIRS[index % len(PAIRS)], 3, 2000, random, AS_ASSUMED)).mean() for index in range(56)]
    assert np.mean(usual) < 0.005


def test_the_expected_error_has_them_at_the_rate_of_the_study() -> None:
    """One of six runs has three times the error: 1/6 · (3 − 1) more, at both sizes."""
    wrong = np.concatenate([runs(0.1, 0.1, 0.3).wrong, runs(0.2, 0.2, 0.2).wrong], axis=1)
    outcomes = Outcomes(("a",), (1, 2), (0, 1, 2), wrong)
    fine = outcomes.without(collapsed(outcomes))
    assert fine.runs.tolist() == [[2, 3]]
    factors = drawn_factors(outcomes, fine, 20_000, np.random.default_rng(0)).mean(axis=0)
    assert factors[0, 0] == pytest.approx(1 + 2 / 6, rel=0.1)
    assert 1 < factors[0, 1] < factors[0, 0]  # no run is above the worst of all


def test_without_them_nothing_changes() -> None:
    outcomes = runs(0.1, 0.11, 0.12)
    assert (drawn_factors(outcomes, outcomes, 10, np.random.default_rng(0)) == 1).all()
