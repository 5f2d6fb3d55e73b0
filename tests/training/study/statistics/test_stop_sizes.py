"""Stopping before the largest size is run: how often the foretold leader is the one whom the full study names."""

import numpy as np
import pytest

from vitrail.training.study.statistics.difference import gap
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.seed_spread import seed_spread
from vitrail.training.study.statistics.stop_seeds import Look
from vitrail.training.study.statistics.stop_sizes import duels, look_ahead
from vitrail.training.study.statistics.synthetic import KINDS, PAIRS, SIZES, Pair, study


def until(outcomes: Outcomes, sizes: int) -> Outcomes:
    """The study as it stands when so many sizes are run."""
    done = outcomes.done.copy()
    done[:, sizes:] = False
    return Outcomes(outcomes.contenders, outcomes.sizes, outcomes.seeds, outcomes.wrong, done)


def grown(pair: Pair, seeds: int, images: int, random: np.random.Generator) -> tuple[str | None, Look]:
    """What the whole study says at one look, and where looking after each size stops."""
    whole = study(pair, seeds, images, random)
    last = gap(whole, seed_spread(whole), 0, 1, len(SIZES) - 1)
    assert last is not None
    full = "first" if last.first_ahead >= 0.95 else "second" if last.first_ahead <= 0.05 else None
    looks = (look_ahead(until(whole, sizes), draws=400) for sizes in range(1, len(SIZES) + 1))
    return full, next(found for found in looks if found.stop)


@pytest.mark.parametrize("count", [8, pytest.param(500, marks=pytest.mark.long)])
def test_on_the_family(count: int) -> None:
    equal, wrong, saved = [], [], []
    for index, seeds, images in KINDS:
        random = np.random.default_rng([index, seeds, images])
        best = ("first", "second")[int(PAIRS[index].truth(np.array([SIZES[-1]], float)).argmin())]
        found = [grown(PAIRS[index], seeds, images, random) for _ in range(count)]
        equal += [full == early.leader for full, early in found]
        wrong += [early.leader not in (None, best) for _, early in found]
        saved += [early.saved for _, early in found]
    assert np.mean(equal) >= 0.95
    assert np.mean(wrong) <= 0.06
    assert np.mean(np.array(saved) > 0) >= 0.25  # of the studies are spared their largest size


def test_three_sizes_are_too_few_to_look_ahead() -> None:
    whole = study(PAIRS[7], 3, 400, np.random.default_rng(0))
    assert look_ahead(until(whole, 3)) == Look(False, None, 0.5, 1.0, 18, 30)


def test_a_clear_leader_is_foreseen_and_the_largest_size_saved() -> None:
    found = look_ahead(until(study(PAIRS[7], 3, 4000, np.random.default_rng(0)), 4))
    assert (found.stop, found.leader, found.needed) == (True, "second", pytest.approx(1 - 0.05 / 4))
    assert found.saved == pytest.approx(0.2)


def test_an_ill_behaved_curve_foretells_nothing() -> None:
    whole = study(PAIRS[7], 3, 4000, np.random.default_rng(0))
    whole.wrong[0, 3] = whole.wrong[0, 0]
    assert not look_ahead(until(whole, 4)).stop


def test_all_runs_made_it_stops_at_what_is_left_to_spend() -> None:
    found = look_ahead(study(PAIRS[10], 3, 400, np.random.default_rng(0)))
    assert (found.stop, found.leader, found.needed) == (True, None, pytest.approx(1 - 0.05 * 0.75))


def test_duels_count_draws() -> None:
    errors = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.1], [0.3, 0.2, 0.4], [0.1, 0.2, 0.3]])
    assert duels(errors).tolist() == [[1, 0.75, 0.75], [0.25, 1, 0.75], [0, 0.25, 1]]
