"""The time of baselines: each measured once on a sample, and as much more as there is to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitrail.data import Digits
from vitrail.training.study import baseline_cost
from vitrail.training.study.baseline_cost import WORK, baseline_seconds
from vitrail.training.study.baselines import ON_PIXELS
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.weights import with_weights


def resolved_in(file: Path, weights: Path | None, *options: str) -> ResolvedPlan:
    return resolve(with_weights(parse_study([f"--config={file}", *options]).plan, weights), Digits())


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """Whatever is timed takes a second; what was timed is listed."""
    timed: list[Callable[[], Any]] = []

    def one_second(make: Callable[[], Any]) -> tuple[Any, float]:
        timed.append(make)
        return make(), 1.0

    monkeypatch.setattr(baseline_cost, "timed", one_second)
    return timed


def test_every_baseline_on_pixels_has_its_work() -> None:
    assert set(WORK) == set(ON_PIXELS)


def test_time_grows_with_the_work(plan_file: Path, a_second_each: list[Callable[[], Any]]) -> None:
    """A sample of 40, of which all four baselines and the reading are measured, for sizes of 40 and 400."""
    resolved, test = resolved_in(plan_file, None, "--sizes=[40, 400]"), len(Digits().labels("test"))
    expected = (
        (400 + test) / 80  # reading
        + (440 + 2 * test) / 80  # majority
        + 440 * test / 1600  # 1-NN
        + 440 / 40  # logistic regression
        + (40 * (40 + test) + 400 * (400 + test)) / 3200  # RBF-SVM
    )
    assert baseline_seconds(resolved, Digits(), 40) == pytest.approx(expected)
    assert len(a_second_each) == 5


def test_features_are_computed_once_and_fitted_at_every_size(
    pretrained_file: Path, weights: Path, a_second_each: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved, test = resolved_in(pretrained_file, weights), len(Digits().labels("test"))
    with monkeypatch.context() as patch:
        patch.setattr(baseline_cost, "probes_of", lambda contenders: {})
        without = baseline_seconds(resolved, Digits(), 30)
    probe = (60 + test) / 60 + 90 / 30
    assert baseline_seconds(resolved, Digits(), 30) == pytest.approx(without + 2 * probe)


def test_a_measured_time_is_not_nothing(plan_file: Path) -> None:
    assert 0 < baseline_seconds(resolved_in(plan_file, None), Digits(), 40) < 60
