"""The spread of seeds: the two parts of a variance by hand, and a known spread recovered."""

import numpy as np
import pytest
from scipy.stats import t

from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.seed_spread import cells, seed_spread


def test_the_parts_of_a_variance_by_hand() -> None:
    """Runs err on 2, 1 and 3 of 4 images; the images are wrong in 3, 2, 1 and 0 of the 3 runs."""
    wrong = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], bool)[None, None]
    between, within, error = cells(Outcomes(("a",), (10,), (0, 1, 2), wrong))
    assert between[0, 0] == pytest.approx(0.25**2)  # of 0.5, 0.25 and 0.75
    assert within[0, 0] == pytest.approx((0 + 2 / 9 + 2 / 9 + 0) / 4 * 3 / 2 / 4)
    assert error[0, 0] == pytest.approx((0.5 * 4 + 0.5) / 5)


def scattered(kappa: float, gamma: float, seeds: int, seed: int, images: int = 2000) -> Outcomes:
    """Errors 0.5 … 0.05 of two contenders that scatter by the rule, with chance in single predictions."""
    random = np.random.default_rng(seed)
    errors = np.tile([0.5, 0.3, 0.2, 0.1, 0.05], (2, 1))[:, :, None]
    runs = errors + kappa * 0.1 * (errors / 0.1) ** gamma * random.standard_normal((2, 5, seeds))
    wrong = random.random((2, 5, seeds, images)) < runs[..., None]
    return Outcomes(("a", "b"), (1, 2, 3, 4, 5), tuple(range(seeds)), wrong)


@pytest.mark.parametrize(("kappa", "gamma"), [(0.2, 1.0), (0.2, 0.5), (0.4, 0.25)])
def test_many_seeds_recover_the_spread(kappa: float, gamma: float) -> None:
    typical = seed_spread(scattered(kappa, gamma, 60, 1)).typical()
    truth = kappa * 0.1 * (np.array([0.5, 0.3, 0.2, 0.1, 0.05]) / 0.1) ** gamma
    np.testing.assert_allclose(typical, np.tile(truth, (2, 1)), rtol=0.15)


def test_runs_that_differ_only_by_chance_have_almost_no_spread() -> None:
    spread = np.median([seed_spread(scattered(0.0, 1.0, 5, seed)).typical()[:, 3] for seed in range(5)])
    assert spread < 0.2 * np.sqrt(0.1 * 0.9 / 2000) + 0.003


def test_few_seeds_give_intervals_as_wide_as_students_t() -> None:
    """One cell, its runs far apart: the mean's 90 % interval is at least as wide as with two degrees of freedom."""
    wrong = np.zeros((1, 1, 3, 40_000), bool)
    for run, share in enumerate((0.08, 0.10, 0.12)):
        wrong[0, 0, run, : int(share * 40_000)] = True
    spread = seed_spread(Outcomes(("a",), (10,), (0, 1, 2), wrong))
    random = np.random.default_rng(0)
    means = spread.drawn(200_000, random)[:, 0, 0] / np.sqrt(3) * random.standard_normal(200_000)
    assert np.quantile(means, 0.95) >= 0.95 * t.ppf(0.95, 2) * 0.02 / np.sqrt(3)
