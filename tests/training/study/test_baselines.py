"""Baselines: right by hand and beside scikit-learn, measured once a size, named where they beat a contender."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from vitrail.data import Source, open_source
from vitrail.errors import DataError
from vitrail.training.study import baselines
from vitrail.training.study.baselines import (
    Split,
    flat,
    logistic,
    majority,
    measure_baselines,
    nearest,
    pixels_of,
    support_vectors,
)
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.statistics.baseline import best_at
from vitrail.training.study.store import BASELINES_FILE, read_baselines


def clouds(count: int, seed: int) -> Split:
    """Three classes around three points, in 20 dimensions."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = 0.8 * np.random.default_rng(9).standard_normal((3, 20))
    return (centres[labels] + random.standard_normal((count, 20))).astype(np.float32), labels


TRAIN, VAL, TEST = clouds(90, 0), clouds(30, 1), clouds(3000, 2)


def error(predicted: NDArray[np.int64]) -> float:
    return float((predicted != TEST[1]).mean())


def test_the_most_frequent_class() -> None:
    labels = np.array([0, 1, 1])
    inputs = np.zeros((3, 1), np.float32)
    assert majority(inputs, labels, inputs, np.array([2, 2, 2]), np.zeros((4, 1), np.float32)).tolist() == [2] * 4


def test_the_nearest_image_is_that_of_scikit_learn() -> None:
    known = KNeighborsClassifier(1).fit(np.concatenate([TRAIN[0], VAL[0]]), np.concatenate([TRAIN[1], VAL[1]]))
    np.testing.assert_array_equal(nearest(*TRAIN, *VAL, TEST[0]), known.predict(TEST[0]))


def test_logistic_regression_is_about_that_of_scikit_learn() -> None:
    best = min(error(LogisticRegression(C=c).fit(*TRAIN).predict(TEST[0])) for c in (0.01, 0.1, 1.0))
    assert error(logistic(*TRAIN, *VAL, TEST[0])) == pytest.approx(best, abs=0.03)


def test_support_vectors_beat_the_nearest_image_here() -> None:
    assert error(support_vectors(*TRAIN, *VAL, TEST[0])) < error(nearest(*TRAIN, *VAL, TEST[0]))


def test_grey_images_have_one_number_a_pixel() -> None:
    grey = np.repeat(np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1), 3, axis=3)
    assert flat(grey).shape == (2, 16)
    colourful = grey.copy()
    colourful[0, 0, 0, 0] = 255
    assert flat(colourful).shape == (2, 48)
    assert flat(colourful).max() == 1


@pytest.fixture
def small(plan_file: Path) -> ResolvedPlan:
    plan = parse_study(["--config", str(plan_file)]).plan
    return resolve(plan, open_source("digits", 0))


def test_each_is_measured_once_a_size(small: ResolvedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    source = open_source("digits", 0)
    measure_baselines(small, source, tmp_path, said.append)
    found = read_baselines(tmp_path)
    wanted = [(name, size) for size in (30, 60) for name in baselines.ON_PIXELS]
    assert [(one.name, one.size) for one in found] == wanted
    assert {one.images for one in found} == {len(source.labels("test"))}
    best = best_at(found, 60)
    assert best is not None
    assert 0.02 < best.error < 0.4
    assert next(one for one in found if one.name == "majority").error == pytest.approx(0.9, abs=0.02)
    assert said == ["baselines: majority, 1-NN, logistic regression, RBF-SVM"]
    monkeypatch.setattr(baselines, "measured_at", lambda *arguments: pytest.fail("measured again"))
    measure_baselines(small, source, tmp_path, said.append)


def test_many_images_have_no_support_vectors(
    small: ResolvedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "MOST_FOR_SVM", 30)
    measure_baselines(small, open_source("digits", 0), tmp_path, lambda line: None)
    assert [one.size for one in read_baselines(tmp_path) if one.name == "RBF-SVM"] == [30]


def test_images_that_do_not_decode_leave_a_size_without(
    small: ResolvedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(resolved: ResolvedPlan, source: Source, size: int) -> list[Split]:
        if size == 60:
            raise DataError("1 image(s) do not decode")
        return pixels_of(resolved, source, size)

    monkeypatch.setattr(baselines, "pixels_of", damaged)
    said: list[str] = []
    measure_baselines(small, open_source("digits", 0), tmp_path, said.append)
    assert {one.size for one in read_baselines(tmp_path)} == {30}
    assert said[1:] == ["no baselines with 60 images: 1 image(s) do not decode"]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / BASELINES_FILE).write_text("{")
    with pytest.raises(DataError, match="is damaged: remove it"):
        read_baselines(tmp_path)
