"""Learning rates: chosen on validation images alone, interpolated in log n."""

from dataclasses import replace
from typing import Any

import pytest

from vitrail.training.study.jobs import Job, Result, rate_trials
from vitrail.training.study.learning_rates import Score, beyond, choose, rate_at, score, tuned_sizes, wider

RESULT = Result(24, 6, 4, 2, 0.1, 0.2, 0.5, 0.3, 0.9, 0.05, 100, 1000)


def tried(*rows: tuple[float, int, float, float]) -> dict[Job, Result]:
    """Rate, seed, validation error and loss."""
    return {
        Job("A", 30, seed, rate, tries=True): replace(RESULT, val_error=error, val_loss=loss)
        for rate, seed, error, loss in rows
    }


def test_the_smallest_the_middle_and_the_largest_size_are_tuned() -> None:
    assert tuned_sizes((1, 2, 4, 8, 16)) == (1, 4, 16)
    assert tuned_sizes((1, 2)) == (1, 2)


def test_every_rate_is_tried_with_every_seed_at_every_tuned_size() -> None:
    jobs = rate_trials([("A", 0.1), ("B", 0.2)], (30, 60), (1, 3), (8, 9))
    assert len(jobs) == len(set(jobs)) == len({job.name for job in jobs}) == 16
    rate: Any = pytest.approx(0.6)
    assert Job("B", 60, 9, rate, tries=True) in jobs
    assert all(job.tries for job in jobs)


def test_the_lowest_loss_wins_where_errors_are_within_their_noise() -> None:
    """Twelve validation images, of which one in five is wrong: a standard error of 0.12."""
    assert choose(tried((1, 8, 0.2, 0.9), (1, 9, 0.2, 0.9), (3, 8, 0.3, 0.4), (3, 9, 0.3, 0.4))) == {"A": {30: 3}}
    assert choose(tried((1, 8, 0.2, 0.9), (1, 9, 0.2, 0.9), (3, 8, 0.5, 0.4), (3, 9, 0.3, 0.4))) == {"A": {30: 1}}


def test_the_noise_of_an_error_is_that_of_its_images() -> None:
    one, other = replace(RESULT, val_error=0.1, val_images=200), replace(RESULT, val_error=0.3, val_images=200)
    assert score([one, other]).error == pytest.approx(0.2)
    assert score([one, other]).noise == pytest.approx((0.2 * 0.8 / 400) ** 0.5, rel=0.01)


def test_the_lowest_mean_error_wins_then_the_lowest_loss() -> None:
    assert choose(tried((1, 8, 0.1, 1), (1, 9, 0.3, 1), (3, 8, 0.0, 1), (3, 9, 0.3, 1))) == {"A": {30: 3}}
    assert choose(tried((1, 8, 0.2, 0.5), (3, 8, 0.2, 0.4))) == {"A": {30: 3}}
    assert choose(tried((1, 8, 0.2, 0.5), (3, 8, 0.2, 0.5))) == {"A": {30: 1}}


def test_a_rate_that_diverged_does_not_win() -> None:
    nan = float("nan")
    assert choose(tried((1, 8, 0.2, 0.5), (3, 8, 0.2, nan))) == {"A": {30: 1}}
    assert choose(tried((1, 8, 0.2, nan), (3, 8, 0.2, 0.5))) == {"A": {30: 3}}


def test_longer_runs_do_not_choose_a_rate() -> None:
    short, long = tried((1, 8, 0.2, 0.5), (3, 8, 0.3, 0.5)), tried((3, 8, 0.1, 0.1))
    runs = {replace(job, steps=100): one for job, one in short.items()}
    runs |= {replace(job, steps=200): one for job, one in long.items()}
    assert choose(runs) == {"A": {30: 1}}


def test_a_best_rate_at_the_edge_asks_for_the_next_one() -> None:
    assert beyond({1: Score(0.3, 1), 3: Score(0.2, 1)}) == 9
    assert beyond({1: Score(0.2, 1), 3: Score(0.3, 1)}) == pytest.approx(1 / 3)
    assert beyond({1: Score(0.3, 1), 3: Score(0.2, 1), 9: Score(0.25, 1)}) is None
    assert beyond({1: Score(0.2, 1), 3: Score(0.2, 1)}) is None  # no better than its neighbour
    assert beyond({1: Score(0.2, 0.5)}) is None


def test_a_wider_grid_has_the_same_seeds_and_an_end() -> None:
    rows: list[tuple[float, int, float, float]] = [(1, 8, 0.3, 1), (1, 9, 0.3, 1), (3, 8, 0.2, 1), (3, 9, 0.2, 1)]
    assert wider(tried(*rows), 2) == [Job("A", 30, seed, 9, tries=True) for seed in (8, 9)]
    rows += [(3.0**power, 8, 0.2 - power / 100, 1) for power in range(2, 6)]
    assert wider(tried(*rows), 2) == []


def test_rates_are_interpolated_in_logarithms() -> None:
    chosen = {10: 0.1, 1000: 0.001}
    assert rate_at(100, chosen) == pytest.approx(0.01)
    assert rate_at(10, chosen) == 0.1
    assert rate_at(31.6227766, chosen) == pytest.approx(0.0316227766)  # type: ignore[arg-type]
