"""What would settle an open lead: the least that does, and on synthetic studies how often it did."""

import numpy as np
import pytest
from scipy.stats import norm

from vitrail.training.study.statistics.difference import Gap, gap
from vitrail.training.study.statistics.next_measurement import Kind, advised, next_measurement, probability, usual_gap
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.scatter import scatter_of
from vitrail.training.study.statistics.stopping import Matchup
from vitrail.training.study.statistics.synthetic import AS_ASSUMED, PAIRS, SIZES, Case, Pair, pow3, study

CASES = (AS_ASSUMED, Case("seeds of one scatter six times as much", spreads=(0.12, 0.02)), Case("shocks", shock=0.08))
SEEDS = 3


def match(mean: float, seeds: float = 0.0, images: float = 0.0, shocks: float = 0.0, chance: float = 0.0) -> Matchup:
    """Variances of the gap: of one seed, of the test images with three seeds, of shocks."""
    scatter = np.sqrt(seeds / SEEDS + images + shocks)
    return Matchup(Gap(np.full(1, mean), np.full(1, scatter)), np.full(1, seeds), chance, np.full(1, shocks))


def test_the_variance_of_the_gap_by_its_sources() -> None:
    """Chance in single predictions is part of that of the images, and averaged by seeds."""
    one = match(-1.0, seeds=6.0, images=4.0, shocks=1.0, chance=3.0)
    assert one.variance(3, 3).tolist() == pytest.approx([7.0])
    assert one.variance(3, 6).tolist() == pytest.approx([1.0 + 3.5 + 1.0])
    assert one.variance(3, 3, images=4.0).tolist() == pytest.approx([2.0 + 1.0 + 1.0])
    assert one.variance(3, 6, images=7.0).tolist() == pytest.approx([1.0 + 0.5 + 1.0])


@pytest.mark.parametrize(
    ("one", "kind", "seeds", "times"),
    [
        # A mean of 1.645 is a lead at a variance of 1.
        (match(-1.645, seeds=6.1), "seeds", 4, 1.0),
        (match(-1.645, seeds=6.0), "seeds", 3, 1.0),
        (match(-1.645, images=2.0), "test images", 0, 2.0),
        (match(-1.645, seeds=3.0, images=0.5, shocks=0.45), "both", 6, 3.0),
        (match(-1.645, seeds=3.0, images=1.0, shocks=1.1), "shocks", 20, 20.0),
        (match(-0.1, seeds=3.0, images=1.0), "close", 20, 20.0),
    ],
    ids=["seeds", "one seed fewer", "images", "both", "shocks", "close"],
)
def test_the_least_that_settles_it_is_advised(one: Matchup, kind: Kind, seeds: int, times: float) -> None:
    found = advised(one, SEEDS)
    assert found[:2] == (kind, seeds)
    assert times <= found[2] <= 1.06 * times


def test_a_usual_gap_draws_the_expected_one_to_zero() -> None:
    """Of a gap of −2 with variance 4, of which 3 is averaged away, (u² + 1) / (u² + 4) of mean and movement remain."""
    one, later = match(-2.0, seeds=9.0, shocks=1.0), np.ones(1)
    assert probability(one, later, 1e6) == pytest.approx(0.5814 + 0.0176, abs=2e-4)
    assert probability(one, later, np.sqrt(2)) == pytest.approx(leader_at(-1.0, 1.5), abs=1e-9)
    assert probability(one, later, 1e-6) == pytest.approx(leader_at(-0.5, 0.75), abs=1e-6)


def leader_at(mean: float, variance: float) -> float:
    """That a normal mean clears the bound at the variance 1 on either side."""
    bound = norm.ppf(0.95)
    return float(norm.cdf((-bound - mean) / variance**0.5) + norm.sf((bound - mean) / variance**0.5))


def test_the_usual_gap_is_relative_to_the_errors() -> None:
    """0.2 of the sum of both errors at each of two sizes, and a size without runs of one."""
    errors = np.array([[0.06, 0.3, np.nan, 0.03], [0.04, 0.2, 0.1, 0.02]])
    assert usual_gap(errors, 0, 1) == pytest.approx(0.2 * 0.05)


def test_a_known_leader_needs_nothing_and_one_seed_tells_nothing() -> None:
    clear = study(PAIRS[7], 3, 4000, np.random.default_rng(0))
    assert next_measurement(scatter_of(clear)) is None
    tie = study(PAIRS[10], 3, 400, np.random.default_rng(0))
    assert next_measurement(scatter_of(tie.first_seeds(1))) is None
    alone = Outcomes(("first",), tie.sizes, tie.seeds, tie.wrong[:1])
    assert next_measurement(scatter_of(alone)) is None


def test_it_is_about_the_two_best_contenders() -> None:
    """The third, with half of its images wrong, changes neither names nor sizes."""
    tie = study(PAIRS[10], 3, 400, np.random.default_rng(0))
    worst = np.ones_like(tie.wrong[:1])
    worst[..., ::2] = False
    three = Outcomes(("worst", "a", "b"), tie.sizes, tie.seeds, np.concatenate([worst, tie.wrong]))
    found = next_measurement(scatter_of(three))
    assert found is not None
    assert {found.first, found.second} == {"a", "b"}
    assert found.images == SIZES[-1]
    assert found.probability is not None
    assert found.probability < 0.95


def close_pair(random: np.random.Generator) -> Pair:
    """Two contenders whose errors differ by about a tenth, so that many studies of them are undecided."""
    ratio = np.exp(random.normal(0, 0.15))
    return Pair("", pow3(0.05, 2.5, 0.45), pow3(0.05 * ratio, 2.5 * ratio, 0.45))


def part(whole: Outcomes, seeds: int, images: int) -> Outcomes:
    return Outcomes(whole.contenders, whole.sizes, whole.seeds[:seeds], whole.wrong[:, :, :seeds, :images])


def named(outcomes: Outcomes) -> bool:
    last = gap(scatter_of(outcomes), 0, 1, len(SIZES) - 1)
    assert last is not None
    return not 0.05 < last.first_ahead < 0.95


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.long)], ids=["some", "many"])
def test_more_seeds_settle_as_many_studies_as_promised(count: int) -> None:
    """Over cases with and without shocks, of which one study says little; each is a part of one with 20 more seeds."""
    promised, kept = [], []
    for case in CASES:
        random = np.random.default_rng(1)
        for _ in range(count):
            whole = study(close_pair(random), SEEDS + 20, 1000, random, case)
            found = next_measurement(scatter_of(part(whole, SEEDS, 1000)))
            if found is not None and found.kind == "seeds":
                assert found.probability is not None
                promised.append(found.probability)
                kept.append(named(part(whole, SEEDS + found.seeds, 1000)))
    assert len(kept) >= 0.1 * 3 * count
    assert np.mean(kept) >= np.mean(promised) - 2 * np.sqrt(0.25 / len(kept))
    assert 0.2 < min(promised) < max(promised) < 0.7
