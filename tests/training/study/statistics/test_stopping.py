"""Early stopping: bounds against theory, and on synthetic studies the rate of changed decisions."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from vitrail.training.study.statistics.difference import gap
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.scatter import scatter_of
from vitrail.training.study.statistics.stopping import StopDecision, bounds, decide_by_seeds
from vitrail.training.study.statistics.synthetic import KINDS, PAIRS, SIZES, SOME_KINDS, Pair, pow3, study

from .by_sizes import decide_by_sizes, win_probabilities


def test_a_single_check_requires_the_given_confidence() -> None:
    assert bounds((1.0,), 0.05)[0] == pytest.approx(0.95, abs=1e-3)


def test_two_checks_together_have_the_error_rate_of_one() -> None:
    """Half the information first: a quarter of 5 % may be spent, the rest at the end; the two are correlated √½."""
    first, last = bounds((0.5, 1.0), 0.05)
    assert first == pytest.approx(1 - 0.05 / 4, abs=1e-3)
    both_below = multivariate_normal([0, 0], [[1, 0.5**0.5], [0.5**0.5, 1]]).cdf(norm.ppf([first, last]))
    assert 1 - both_below == pytest.approx(0.05, abs=3e-3)


def test_the_first_check_spends_all_if_more_seeds_add_no_information() -> None:
    assert bounds((1.0, 1.0), 0.05)[0] == pytest.approx(0.95, abs=1e-3)


def by_seeds(pair: Pair, seeds: int, images: int, random: np.random.Generator) -> tuple[str | None, StopDecision]:
    """The decision of the full study at a single check, and the first decision to stop by seeds."""
    whole = study(pair, seeds, images, random)
    last = gap(scatter_of(whole), 0, 1, len(SIZES) - 1)
    assert last is not None
    full = "first" if last.first_ahead >= 0.95 else "second" if last.first_ahead <= 0.05 else None
    decisions = (decide_by_seeds(whole.first_seeds(count), seeds) for count in range(2, seeds + 1))
    return full, next(one for one in decisions if one.stop)


@pytest.mark.parametrize(
    ("kinds", "count"),
    [(SOME_KINDS, 6), pytest.param(KINDS, 500, marks=pytest.mark.long)],
    ids=["some", "all"],
)
def test_stopping_by_seeds_keeps_the_full_decision(kinds: tuple[tuple[int, int, int], ...], count: int) -> None:
    """The decision equals the full study's in 95 %, is wrong in at most 6 % of each kind, and half of all save 30 %."""
    equal, wrong, saved = [], [], []
    for index, seeds, images in kinds:
        random = np.random.default_rng([index, seeds, images])
        best = ("first", "second")[int(PAIRS[index].truth(np.array([SIZES[-1]], float)).argmin())]
        decisions = [by_seeds(PAIRS[index], seeds, images, random) for _ in range(count)]
        equal.append(np.mean([full == early.leader for full, early in decisions]))
        wrong.append(np.mean([early.leader not in (None, best) for _, early in decisions]))
        saved.append([early.saved for _, early in decisions])
    assert np.mean(equal) >= 0.95
    assert np.mean(wrong) <= 0.06
    assert max(wrong) <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / count) * (count < 500)
    assert np.median(saved) >= 0.30


def test_one_seed_does_not_stop() -> None:
    one = study(PAIRS[0], 3, 400, np.random.default_rng(0)).first_seeds(1)
    assert decide_by_seeds(one, 3) == StopDecision(False, None, 0.5, 1.0, 10, 30)


def test_nothing_stops_before_the_largest_size_has_runs() -> None:
    whole = study(PAIRS[0], 3, 400, np.random.default_rng(0))
    done = whole.done.copy()
    done[:, -1] = False
    assert not decide_by_seeds(Outcomes(whole.contenders, whole.sizes, whole.seeds, whole.wrong, done), 3).stop


def test_a_tie_stops_for_futility() -> None:
    """With equal curves some studies stop at the first check without a leader, and would have none in the end."""
    tie = Pair("", pow3(0.1, 1, 0.5), pow3(0.1, 1, 0.5))
    random = np.random.default_rng(0)
    decisions = [by_seeds(tie, 3, 400, random) for _ in range(60)]
    stopped = [full for full, early in decisions if early.saved and early.leader is None]
    assert len(stopped) >= 15
    assert sum(full is None for full in stopped) >= 0.9 * len(stopped)


def test_the_leader_must_be_ahead_of_every_other_contender() -> None:
    """The third is the second again with other seeds: either is clearly ahead of the first only."""
    random = np.random.default_rng(1)
    one, other = study(PAIRS[7], 3, 4000, random), study(PAIRS[7], 3, 4000, random)
    both = decide_by_seeds(one.first_seeds(2), 3)
    assert (both.stop, both.leader) == (True, "second")
    three = Outcomes(("a", "b", "c"), SIZES, (0, 1, 2), np.concatenate([one.wrong, other.wrong[1:]]))
    decision = decide_by_seeds(three.first_seeds(2), 3)
    assert decision.leader is None
    assert decision.probability < 0.95


def until(outcomes: Outcomes, sizes: int) -> Outcomes:
    """The study with runs at the first sizes only."""
    done = outcomes.done.copy()
    done[:, sizes:] = False
    return Outcomes(outcomes.contenders, outcomes.sizes, outcomes.seeds, outcomes.wrong, done)


def by_sizes(pair: Pair, seeds: int, images: int, random: np.random.Generator) -> tuple[str | None, StopDecision]:
    """The decision of the full study at a single check, and the first decision to stop by sizes."""
    whole = study(pair, seeds, images, random)
    last = gap(scatter_of(whole), 0, 1, len(SIZES) - 1)
    assert last is not None
    full = "first" if last.first_ahead >= 0.95 else "second" if last.first_ahead <= 0.05 else None
    decisions = (decide_by_sizes(until(whole, sizes), draws=400) for sizes in range(1, len(SIZES) + 1))
    return full, next(one for one in decisions if one.stop)


@pytest.mark.parametrize("count", [3, pytest.param(500, marks=pytest.mark.long)])
def test_stopping_by_sizes_keeps_the_full_decision(count: int) -> None:
    equal, wrong, saved = [], [], []
    for index, seeds, images in KINDS:
        random = np.random.default_rng([index, seeds, images])
        best = ("first", "second")[int(PAIRS[index].truth(np.array([SIZES[-1]], float)).argmin())]
        decisions = [by_sizes(PAIRS[index], seeds, images, random) for _ in range(count)]
        equal += [full == early.leader for full, early in decisions]
        wrong += [early.leader not in (None, best) for _, early in decisions]
        saved += [early.saved for _, early in decisions]
    assert np.mean(equal) >= 0.95
    assert np.mean(wrong) <= 0.06
    assert np.mean(np.array(saved) > 0) >= 0.25  # of the studies omit the largest size


def test_three_sizes_are_too_few_to_stop_by_sizes() -> None:
    whole = study(PAIRS[7], 3, 400, np.random.default_rng(0))
    assert decide_by_sizes(until(whole, 3)) == StopDecision(False, None, 0.5, 1.0, 18, 30)


def test_a_clear_leader_is_forecast_and_the_largest_size_saved() -> None:
    decision = decide_by_sizes(until(study(PAIRS[7], 3, 4000, np.random.default_rng(0)), 4))
    assert (decision.stop, decision.leader) == (True, "second")
    assert decision.required == pytest.approx(1 - 0.05 / 4)
    assert decision.saved == pytest.approx(0.2)


def test_an_ill_behaved_curve_does_not_stop() -> None:
    whole = study(PAIRS[7], 3, 4000, np.random.default_rng(0))
    whole.wrong[0, 3] = whole.wrong[0, 0]
    assert not decide_by_sizes(until(whole, 4)).stop


def test_the_last_check_spends_the_rest() -> None:
    decision = decide_by_sizes(study(PAIRS[10], 3, 400, np.random.default_rng(0)))
    assert (decision.stop, decision.leader) == (True, None)
    assert decision.required == pytest.approx(1 - 0.05 * 0.75)


def test_win_probabilities_count_draws() -> None:
    errors = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.1], [0.3, 0.2, 0.4], [0.1, 0.2, 0.3]])
    assert win_probabilities(errors).tolist() == [[1, 0.75, 0.75], [0.25, 1, 0.75], [0, 0.25, 1]]
