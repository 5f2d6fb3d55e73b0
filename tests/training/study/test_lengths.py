"""The length of runs: found on validation scores, interpolated, and limited where the budget ended first."""

from dataclasses import replace

import pytest

from vitrail.training.study.jobs import FinishedRun, Job, Result
from vitrail.training.study.learning_rates import Score
from vitrail.training.study.lengths import Length, found, gain, is_limited, length_at, length_of, longer

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


def test_a_run_is_as_long_as_doubling_helps() -> None:
    scores = {100.0: Score(0.3, 1.0), 200.0: Score(0.2, 0.9), 400.0: Score(0.196, 0.9)}
    assert length_of(scores, 0.05) == Length(200, True)
    assert length_of(scores, 0.01) == Length(400, False)
    assert length_of({100.0: Score(0.3, 1.0)}, 0.05) == Length(100, False)


def test_a_worse_longer_run_ends_the_search() -> None:
    assert length_of({100.0: Score(0.2, 1.0), 200.0: Score(0.25, 1.4), 400.0: Score(0.1, 0.3)}, 0.05) == Length(
        100, True
    )


def test_a_run_that_diverged_is_no_gain() -> None:
    assert length_of({100.0: Score(0.2, 1.0), 200.0: Score(float("inf"), float("inf"))}, 0.05) == Length(100, True)


def test_lengths_are_those_of_the_chosen_rate() -> None:
    runs = tried((100, 0.3, 1.0), (200, 0.2, 0.5)) | tried((100, 0.3, 1.0), (200, 0.3, 1.0), size=60)
    runs |= {replace(job, rate=0.3): replace(RESULT, val_error=0.9) for job in tried((100, 0, 0))}
    assert found(runs, {"A": {30: 0.1, 60: 0.1}}, 0.05) == {"A": {30: Length(200, False), 60: Length(100, True)}}


def test_steps_are_interpolated_in_logarithms_and_whole_validations() -> None:
    known = {10: Length(100, True), 1000: Length(1600, True), 4000: Length(1600, False)}
    assert length_at(100, known, 10) == Length(400, True)
    assert length_at(1000, known, 10) == Length(1600, True)
    assert length_at(101, known, 10).steps % 10 == 0
    assert length_at(2000, known, 10) == Length(1600, False)


def test_only_cells_that_are_not_trained_out_are_doubled() -> None:
    runs = tried((100, 0.3, 1.0), (200, 0.2, 0.5)) | tried((100, 0.3, 1.0), (200, 0.3, 1.0), size=60)
    chosen = {"A": {30: 0.1, 60: 0.1}}
    lengths = found(runs, chosen, 0.05)
    assert {(job.size, job.seed, job.steps) for job in longer(lengths, runs, chosen, 400)} == {
        (30, 8, 400),
        (30, 9, 400),
    }
    assert longer(lengths, runs, chosen, 399) == []


def test_a_cell_is_limited_by_short_runs_or_a_length_that_was_not_found() -> None:
    run = FinishedRun(Job("A", 30, 0, 0.1, steps=200), RESULT)
    assert not is_limited([run], Length(200, True))
    assert is_limited([run], Length(400, True))
    assert is_limited([run], Length(200, False))
    assert is_limited([replace(run, job=replace(run.job, steps=None))], Length(200, True))
    assert not is_limited([run], None)
