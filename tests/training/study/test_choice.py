"""The choice among contenders follows validation images, so its test error is that of new images."""

from dataclasses import replace

import numpy as np
import pytest

from vitrail.training.study.choice import validation_scores
from vitrail.training.study.jobs import FinishedRun, Job

from .report.folders import result

SIZE, SEEDS, VALIDATION, TEST = 100, 3, 60, 300


def run(name: str, seed: int, val: float, test: float, loss: float = 1.0, size: int = SIZE) -> FinishedRun:
    measured = replace(result(size, test, 1000), val_error=val, val_loss=loss)
    return FinishedRun(Job(name, size, seed, 0.01), measured)


def test_the_lowest_mean_validation_error_is_first_whatever_the_test_says() -> None:
    runs = [
        *(run("A", seed, val, test=0.01) for seed, val in enumerate((0.1, 0.3))),
        *(run("B", seed, val, test=0.5) for seed, val in enumerate((0.15, 0.15))),
        run("C", 0, val=0.0, test=0.0, size=50),
    ]
    scores = validation_scores(runs, SIZE)
    assert list(scores) == ["B", "A"]
    assert scores["A"].error == pytest.approx(0.2)


def test_of_equal_errors_the_lower_loss_is_first() -> None:
    assert list(validation_scores([run("A", 0, 0.1, 0.1, 0.4), run("B", 0, 0.1, 0.1, 0.3)], SIZE)) == ["B", "A"]


def test_a_contender_that_diverged_is_last() -> None:
    runs = [run("A", 0, 0.1, 0.1, loss=float("nan")), run("B", 0, 0.9, 0.9)]
    assert list(validation_scores(runs, SIZE)) == ["B", "A"]


def test_the_test_error_of_the_chosen_one_is_not_a_lucky_one() -> None:
    """Of eight equal contenders with 20 % error the lowest test error is too low, that of the chosen one is not."""
    random, names = np.random.default_rng(0), [f"c{index}" for index in range(8)]
    chosen, lowest = [], []
    for _ in range(300):
        val = random.binomial(VALIDATION, 0.2, (8, SEEDS)) / VALIDATION
        test = random.binomial(TEST, 0.2, (8, SEEDS)) / TEST
        runs = [
            run(name, seed, val[index, seed], test[index, seed])
            for index, name in enumerate(names)
            for seed in range(SEEDS)
        ]
        first = next(iter(validation_scores(runs, SIZE)))
        chosen.append(test[names.index(first)].mean())
        lowest.append(test.mean(axis=1).min())
    error = np.std(chosen) / np.sqrt(300)
    assert abs(np.mean(chosen) - 0.2) < 3 * error
    assert np.mean(lowest) < 0.2 - 10 * error
