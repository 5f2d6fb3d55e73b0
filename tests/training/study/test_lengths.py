"""The length of runs: found on validation scores, interpolated, and limited where the budget ended first."""

from dataclasses import replace

import pytest

from vitrail.training.study.jobs import FinishedRun, Job, Result
from vitrail.training.study.learning_rates import Score
from vitrail.training.study.lengths import (
    Length,
    found,
    gain,
    is_limited,
    length_at,
    length_of,
    longer,
    rates_of_longer,
)

RESULT = Result(24, 6, 4, 2, 0.1, 0.2, 0.5, 0.3, 0.9, 0.05, 100, 1000)


def tried(*rows: tuple[int, float, float], size: int = 30) -> dict[Job, Result]:
    """Steps, validation error and loss, of two seeds whose errors differ."""
    return {
        Job("A", size, seed, 0.1, tries=True, steps=steps): replace(RESULT, val_error=error + shift, val_loss=loss)
        for steps, error, loss in rows
        for seed, shift in ((8, -0.01), (9, 0.01))
    }


def test_the_gain_is_that_of_the_error_or_of_the_loss_where_the_error_does_not_rise() -> None:
    assert gain(Score(0.2, 1.0), Score(0.1, 1.0)) == pytest.approx(0.5)
    assert gain(Score(0.2, 1.0), Score(0.2, 0.9)) == pytest.approx(0.1)
    assert gain(Score(0.2, 1.0), Score(0.3, 2.0)) < 0
    assert gain(Score(0.2, 1.0), Score(0.21, 0.5)) == pytest.approx(-0.05)
    assert gain(Score(0.0, 1.0), Score(0.01, 0.5)) == 0
    assert gain(Score(0.0, 1.0), Score(0.0, 1.0)) == 0


def at_one_rate(scores: dict[int, Score]) -> dict[int, dict[float, Score]]:
    return {steps: {0.1: score} for steps, score in scores.items()}


def test_a_run_is_as_long_as_doubling_helps() -> None:
    scores = at_one_rate({100: Score(0.3, 1.0), 200: Score(0.2, 0.9), 400: Score(0.196, 0.9)})
    assert length_of(scores, 0.1, 0.05) == Length(200, 0.1, True)
    assert length_of(scores, 0.1, 0.01) == Length(400, 0.1, False)
    assert length_of(at_one_rate({100: Score(0.3, 1.0)}), 0.1, 0.05) == Length(100, 0.1, False)


def test_a_worse_longer_run_ends_the_search() -> None:
    scores = at_one_rate({100: Score(0.2, 1.0), 200: Score(0.25, 1.4), 400: Score(0.1, 0.3)})
    assert length_of(scores, 0.1, 0.05) == Length(100, 0.1, True)


def test_a_run_that_diverged_is_no_gain() -> None:
    scores = at_one_rate({100: Score(0.2, 1.0), 200: Score(float("inf"), float("inf"))})
    assert length_of(scores, 0.1, 0.05) == Length(100, 0.1, True)


def test_a_longer_run_may_have_the_next_lower_rate() -> None:
    """The best rate of short runs can be too high for long ones, which then seem to gain nothing."""
    scores = {
        100: {0.01: Score(0.5, 1.0), 0.1: Score(0.3, 1.0), 1.0: Score(0.2, 1.0)},
        200: {0.1: Score(0.1, 0.8), 1.0: Score(0.2, 1.0)},
    }
    assert length_of(scores, 1.0, 0.05) == Length(200, 0.1, False)
    scores[400] = {0.1: Score(0.1, 0.8)}
    assert length_of(scores, 1.0, 0.05) == Length(200, 0.1, False)  # the next lower one was not tried
    scores[400][0.01] = Score(0.1, 0.8)
    assert length_of(scores, 1.0, 0.05) == Length(200, 0.1, True)
    scores[400][0.01] = Score(0.05, 0.7)
    assert length_of(scores, 1.0, 0.05) == Length(400, 0.01, False)
    assert rates_of_longer(0.01, scores[100]) == [0.01, pytest.approx(0.001)]
    assert rates_of_longer(0.1, [0.1]) == [0.1]


def test_lengths_are_those_of_the_chosen_rate() -> None:
    """Of cells whose shortest runs were tried with one rate, or with two."""
    runs = tried((100, 0.3, 1.0), (200, 0.2, 0.5)) | tried((100, 0.3, 1.0), (200, 0.3, 1.0), size=60)
    chosen = {"A": {30: 0.1, 60: 0.1}}
    assert found(runs, chosen, 0.05) == {"A": {30: Length(200, 0.1, False), 60: Length(100, 0.1, True)}}
    runs |= {replace(job, rate=0.3): replace(RESULT, val_error=0.9) for job in tried((100, 0, 0))}
    assert found(runs, chosen, 0.05)["A"][30] == Length(200, 0.1, False)
    runs |= tried((200, 0.3, 1.0))
    assert found(runs, chosen, 0.05)["A"][30] == Length(100, 0.1, False)  # the next lower rate was not tried
    lower = {replace(job, rate=0.1**2 / 0.3): replace(RESULT, val_error=0.9) for job in tried((200, 0, 0))}
    assert found(runs | lower, chosen, 0.05)["A"][30] == Length(100, 0.1, True)


def test_steps_are_interpolated_in_logarithms_and_whole_validations() -> None:
    known = {10: Length(100, 0.1, True), 1000: Length(1600, 0.1, True), 4000: Length(1600, 0.1, False)}
    found_at = {size: length_at(size, known, 10) for size in (100, 101, 1000, 2000)}
    assert [(found_at[size].steps, found_at[size].is_trained_out) for size in (100, 1000, 2000)] == [
        (400, True),
        (1600, True),
        (1600, False),
    ]
    assert found_at[101].steps % 10 == 0


def test_rates_are_interpolated_in_logarithms() -> None:
    known = {10: Length(100, 0.1, True), 1000: Length(100, 0.001, True)}
    assert length_at(100, known, 10).rate == pytest.approx(0.01)


def test_only_cells_that_are_not_trained_out_are_doubled() -> None:
    runs = tried((100, 0.3, 1.0), (200, 0.2, 0.5)) | tried((100, 0.3, 1.0), (200, 0.3, 1.0), size=60)
    lengths = found(runs, {"A": {30: 0.1, 60: 0.1}}, 0.05)
    assert {(job.size, job.seed, job.steps) for job in longer(lengths, runs, 400)} == {(30, 8, 400), (30, 9, 400)}
    assert longer(lengths, runs, 399) == []


def test_longer_runs_are_tried_with_two_rates() -> None:
    runs = tried((100, 0.3, 1.0))
    runs |= {replace(job, rate=0.05): replace(RESULT, val_error=0.9) for job in runs}
    lengths = found(runs, {"A": {30: 0.1}}, 0.05)
    assert {(job.seed, job.rate, job.steps) for job in longer(lengths, runs, 400)} == {
        (seed, rate, 200) for seed in (8, 9) for rate in (0.1, 0.05)
    }


def test_a_cell_is_limited_by_short_runs_or_a_length_that_was_not_found() -> None:
    run = FinishedRun(Job("A", 30, 0, 0.1, steps=200), RESULT)
    assert not is_limited([run], Length(200, 0.1, True))
    assert is_limited([run], Length(400, 0.1, True))
    assert is_limited([run], Length(200, 0.1, False))
    assert is_limited([replace(run, job=replace(run.job, steps=None))], Length(200, 0.1, True))
    assert not is_limited([run], None)
