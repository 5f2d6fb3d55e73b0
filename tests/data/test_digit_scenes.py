"""Scenes of digits: several tasks on the same images, whose targets agree."""

import numpy as np
import pytest

from vitrail.data import Digits, DigitScenes, Source, open_source
from vitrail.data.digit_scenes import NOTHING, SCENES
from vitrail.data.subsets import nested_subset
from vitrail.images.canvas import InputRule

RULE = InputRule(24)
TASKS = ("multilabel", "regression", "dense", "dense-regression")


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {task: open_source(f"digit-scenes-{task}", 0) for task in TASKS}


def test_the_tasks_share_their_scenes(sources: dict[str, Source]) -> None:
    parts = {task: source.read("val", RULE) for task, source in sources.items()}
    labels, values, maps, densities = (parts[task].labels for task in TASKS)
    assert all(np.array_equal(part.images, parts["multilabel"].images) for part in parts.values())
    assert len(labels) == SCENES["val"]
    for row, (count, total), cells in zip(labels, values, maps, strict=True):
        digits, pixels = np.unique(cells[cells != NOTHING], return_counts=True)
        assert (pixels % 64 == 0).all()
        assert np.flatnonzero(row).tolist() == digits.tolist()
        assert (count, total) == (pixels.sum() / 64, (digits * pixels).sum() / 64)
        assert 1 <= count <= 4
    np.testing.assert_allclose(densities.sum(axis=(2, 3)), values, rtol=1e-5)
    np.testing.assert_array_equal(densities[:, 0] > 0, maps != NOTHING)


def test_digits_are_where_the_map_has_them(sources: dict[str, Source]) -> None:
    images, real = sources["dense"].read("test", RULE), Digits(0).read("test", InputRule(8))
    squares = {label: real.images[real.labels == label, ..., 0] for label in range(10)}
    for image, cells in zip(images.images[:20], images.labels[:20], strict=True):
        assert not image[cells == NOTHING].any()
        for top in range(17):
            for left in range(17):
                square, below = image[top : top + 8, left : left + 8, 0], cells[top : top + 8, left : left + 8]
                if any(np.array_equal(square, one) for one in squares.get(int(below[0, 0]), [])):
                    assert (below == below[0, 0]).all()
        assert (cells != NOTHING).any()


def test_test_scenes_show_test_digits_alone(sources: dict[str, Source]) -> None:
    """A scene with one digit has its pixels, and those are of an image of the same part."""
    real = {
        part: {image.tobytes() for image in Digits(0).read(part, InputRule(8)).images} for part in ("train", "test")
    }
    maps, scenes = (getattr(sources["dense"].read("test", RULE), name) for name in ("labels", "images"))
    seen = []
    for scene, cells in zip(scenes, maps, strict=True):
        if (cells != NOTHING).sum() == 64:
            rows, columns = np.nonzero(cells != NOTHING)
            seen.append(scene[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].tobytes())
    assert len(seen) > 100
    assert set(seen) <= real["test"]
    assert not set(seen) & real["train"]


def test_seeds_and_parts_differ_and_repeat_themselves() -> None:
    first, again, other = (DigitScenes("regression", seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    train, val = (first.read(part, RULE).images[:500] for part in ("train", "val"))
    assert not np.array_equal(train, val)


@pytest.mark.parametrize("task", ["multilabel", "dense"])
def test_subsets_are_nested(task: str, sources: dict[str, Source]) -> None:
    labels = sources[task].labels("train")
    small, large = (set(nested_subset(labels, count, 0).tolist()) for count in (100, 300))
    assert len(small) == 100
    assert small < large


def test_whole_images_are_the_canvases_of_their_own_size(sources: dict[str, Source]) -> None:
    source = sources["multilabel"]
    assert np.array_equal(source.whole("test", 7), source.read("test", RULE, np.array([7])).images[0])
    dense = sources["dense"]
    assert isinstance(dense, DigitScenes)
    assert np.array_equal(dense.whole_map("test", 7), dense.targets("test", RULE, np.array([7]))[0])
