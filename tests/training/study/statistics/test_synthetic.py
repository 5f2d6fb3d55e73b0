"""Synthetic studies: errors, correlations and scatter are as specified."""

import numpy as np
import pytest

from vitrail.training.study.statistics.synthetic import PAIRS, REACH, SIZES, Pair, pow3, study


def test_pairs_cover_all_kinds_of_crossing() -> None:
    places = [pair.crossing() for pair in PAIRS]
    inside = [place for place in places if place is not None and place <= SIZES[-1]]
    beyond = [place for place in places if place is not None and SIZES[-1] < place <= REACH * SIZES[-1]]
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 12
    assert (len(inside), len(beyond), places.count(None)) == (6, 1, 7)
    assert all((np.diff(pair.truth(np.geomspace(100, 16_000, 50))) < 0).all() for pair in PAIRS)


def test_crossings_by_hand() -> None:
    """0.1 + 1/√n meets 4/√n where 3/√n is 0.1."""
    assert Pair("", pow3(0.1, 1, 0.5), pow3(0.0, 4, 0.5)).crossing() == pytest.approx(900, rel=1e-3)


def test_errors_follow_the_law() -> None:
    pair = PAIRS[0]
    shares = np.mean([study(pair, 3, 2000, np.random.default_rng(i)).shares.mean(axis=2) for i in range(60)], axis=0)
    np.testing.assert_allclose(shares, pair.truth(np.array(SIZES, float)), rtol=0.04)


def test_runs_are_correlated_more_within_a_contender() -> None:
    """Both errors are 0.25; the latent normals are correlated 0.5, and 0.65 within a contender."""
    wrong = study(
        Pair("", pow3(0.25, 0, 1), pow3(0.25, 0, 1), seed_spread=0), 2, 40_000, np.random.default_rng(0)
    ).wrong
    own, other = np.corrcoef(wrong[0, 0, 0], wrong[0, 0, 1])[0, 1], np.corrcoef(wrong[0, 0, 0], wrong[1, 0, 0])[0, 1]
    assert own == pytest.approx(0.432, abs=0.03)  # of two halves of a normal plane, by integration
    assert other == pytest.approx(0.315, abs=0.03)


def test_seeds_scatter_as_specified() -> None:
    pair = Pair("", pow3(0.2, 0, 1), pow3(0.05, 0, 1), seed_spread=0.1, seed_power=-0.5, shared=0.0, own=0.0)
    runs = study(pair, 400, 4000, np.random.default_rng(0)).wrong.mean(axis=3)  # [2, S, R]
    for index, error in enumerate((0.2, 0.05)):
        expected = (error * 0.1 * (error / 0.1) ** -0.5) ** 2 + error * (1 - error) / 4000
        assert runs[index].var(axis=1).mean() == pytest.approx(expected, rel=0.1)
