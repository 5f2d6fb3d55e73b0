"""The whole forecast, as in curves.json, and studies with missing runs."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from vitrail.training.study.statistics.curve import FAR, NEAR, reach
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.forecast import forecast
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.synthetic import CASES, PAIRS, SIZES, study


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    return study(PAIRS[0], 3, 1000, np.random.default_rng(0))


@pytest.fixture(scope="module")
def whole(outcomes: Outcomes) -> Forecast:
    return forecast(outcomes, targets=(0.9, 0.95), draws=500)


def without(outcomes: Outcomes, *where: tuple[int, ...]) -> Outcomes:
    done = outcomes.done.copy()
    for place in where:
        done[place] = False
    return Outcomes(outcomes.contenders, outcomes.sizes, outcomes.seeds, outcomes.wrong, done)


def test_it_is_plain_data(whole: Forecast) -> None:
    plain = json.loads(json.dumps(asdict(whole), allow_nan=False))
    assert plain["contenders"][0]["curve"]["laws"][0]["name"] == "POW3"
    assert set(plain["pairs"][0]["crossing"]) == {"kind", "leader", "low", "high", "point"}


def test_the_same_outcomes_and_seed_give_the_same(outcomes: Outcomes, whole: Forecast) -> None:
    assert forecast(outcomes, targets=(0.9, 0.95), draws=500) == whole
    assert forecast(outcomes, targets=(0.9, 0.95), draws=500, seed=1) != whole


def test_points_are_measured_errors(outcomes: Outcomes, whole: Forecast) -> None:
    for index, contender in enumerate(whole.contenders):
        assert [one.images for one in contender.points] == list(SIZES)
        assert [one.error for one in contender.points] == pytest.approx(outcomes.wrong[index].mean(axis=(1, 2)))
        assert all(one.low < one.error < one.high for one in contender.points)


def test_the_grid_contains_all_sizes_and_the_ends_of_curves(whole: Forecast) -> None:
    """Forecasts go to twice the largest size, and to four times where one from a quarter of it was right."""
    assert set(SIZES) <= set(whole.grid)
    ends = []
    for contender in whole.contenders:
        assert contender.curve is not None
        ends.append(whole.end_of(contender.curve))
        assert sum(law.weight for law in contender.curve.laws) == pytest.approx(1)
    assert set(ends) <= {8000.0, 16000.0}
    assert whole.grid[-1] == max(ends)
    assert whole.end_of(whole.pairs[0]) == min(ends)


def test_a_curve_that_a_quarter_of_it_foretold_is_forecast_further() -> None:
    """Errors of exactly POW3; in the other, the largest size is half as bad as that."""
    sizes = np.array(SIZES, float)
    errors = 2.5 * sizes**-0.5
    drawn = np.concatenate([errors[None], errors * np.random.default_rng(0).lognormal(0, 0.02, (400, 5))])
    assert reach(sizes, drawn) == FAR
    drawn[:, -1] /= 2
    assert reach(sizes, drawn) == NEAR


def test_images_needed_and_gain_agree_with_the_curve(whole: Forecast) -> None:
    curve = whole.contenders[0].curve
    assert curve is not None
    assert curve.next_images is not None
    grid = np.log(whole.grid[: len(curve.error)])
    here, there = np.interp(np.log([4000, 5000]), grid, curve.error)
    assert curve.next_images.gain == pytest.approx(here - there, rel=0.05)
    assert curve.next_images.low <= curve.next_images.gain <= curve.next_images.high
    assert curve.images_needed[0].images is not None
    at_target = np.interp(np.log(curve.images_needed[0].images), grid, curve.error)
    assert at_target == pytest.approx(0.1, rel=0.01)


def test_a_failed_back_test_ends_the_curve_at_the_largest_size() -> None:
    case = next(one for one in CASES if one.has_plateau)
    result = forecast(study(PAIRS[2], 3, 4000, np.random.default_rng(0), case), draws=500)
    contender = result.contenders[0]
    assert "was forecast for 4,000" in str(contender.refused)
    assert contender.curve is not None
    assert result.end_of(contender.curve) == result.end_of(result.pairs[0]) == 4000


def test_collapsed_runs_are_counted_and_part_of_the_expected_error(outcomes: Outcomes) -> None:
    wrong = outcomes.wrong.copy()
    wrong[0, 4, 1] = outcomes.wrong[0, 2, 1]
    points = forecast(replace(outcomes, wrong=wrong), draws=500).contenders[0].points
    assert [one.collapsed for one in points] == [0, 0, 0, 0, 1]
    assert [one.seeds for one in points] == [3] * 5
    fine = wrong[0, 4, [0, 2]].mean()
    assert fine < points[4].error < wrong[0, 4].mean()


def test_the_back_test_holds_out_the_largest_size(outcomes: Outcomes, whole: Forecast) -> None:
    """Changed predictions at the largest size change the measured error, not its forecast."""
    wrong = outcomes.wrong.copy()
    wrong[0, -1] = outcomes.wrong[0, -2]
    other = forecast(replace(outcomes, wrong=wrong), draws=500).contenders[0].back_test
    test = whole.contenders[0].back_test
    assert test is not None
    assert other is not None
    assert test.images == 4000
    assert test.forecast == pytest.approx(other.forecast, rel=0.1)
    assert other.measured > 1.3 * test.measured
    assert test.off == pytest.approx(abs(test.forecast - test.measured))


def test_a_missing_run_leaves_the_others(outcomes: Outcomes, whole: Forecast) -> None:
    result = forecast(without(outcomes, (0, 2, 1)), draws=500)
    assert [one.seeds for one in result.contenders[0].points] == [3, 3, 2, 3, 3]
    assert result.contenders[0].points[2].error == pytest.approx(outcomes.wrong[0, 2, [0, 2]].mean())
    assert result.pairs[0].crossing.kind == whole.pairs[0].crossing.kind == "between"


def test_a_missing_size_is_left_out(outcomes: Outcomes) -> None:
    result = forecast(without(outcomes, (0, 2)), draws=500)
    assert [one.images for one in result.contenders[0].points] == [100, 250, 1600, 4000]
    assert [one.images for one in result.pairs[0].measured] == [100, 250, 1600, 4000]
    assert result.contenders[0].curve is not None


def test_each_curve_ends_by_its_own_largest_size(outcomes: Outcomes) -> None:
    result = forecast(without(outcomes, (0, 4)), draws=500)
    curve = result.contenders[0].curve
    assert curve is not None
    assert result.end_of(curve) in (3200, 6400)
    json.dumps(asdict(result), allow_nan=False)


def test_two_sizes_give_no_curve(outcomes: Outcomes) -> None:
    result = forecast(without(outcomes, (0, 2), (0, 3), (0, 4)), draws=500)
    assert result.contenders[0].curve is None
    assert result.contenders[0].ill_behaved == "a curve needs runs at 3 sizes or more; it has 2"
    assert result.contenders[1].curve is not None
    assert result.pairs[0].crossing.kind == "refused"
    assert len(result.pairs[0].measured) == 2


def test_an_ill_behaved_curve_is_refused_but_keeps_its_points(outcomes: Outcomes) -> None:
    wrong = outcomes.wrong.copy()
    wrong[1, 3] = outcomes.wrong[1, 0]
    result = forecast(replace(outcomes, wrong=wrong), draws=500)
    assert "its error with 1600 images" in str(result.contenders[1].ill_behaved)
    assert result.contenders[1].curve is None
    assert len(result.contenders[1].points) == len(result.pairs[0].measured) == 5
    assert result.pairs[0].crossing.kind == "refused"


def test_three_contenders_make_three_pairs(outcomes: Outcomes) -> None:
    wrong = np.concatenate([outcomes.wrong, outcomes.wrong[:1]])
    result = forecast(Outcomes(("a", "b", "c"), SIZES, (0, 1, 2), wrong), draws=200)
    assert [(one.first, one.second) for one in result.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert result.pairs[1].crossing.kind == "undecided"  # identical
