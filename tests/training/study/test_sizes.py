"""Sizes: geometric, within the available images; subsets pinned, nested, the same for all contenders."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.data import Digits, Part
from vitrail.errors import DataError
from vitrail.training.data_module import ImageDataModule
from vitrail.training.study.plan import Geometric
from vitrail.training.study.sizes import geometric_sizes, most_images, resolve_sizes

PINNED = {
    0: [36, 77, 144, 186, 258, 270, 329, 356, 475, 686, 741, 807, 808, 1025, 1058],
    1: [150, 156, 215, 262, 450, 583, 697, 751, 778, 882, 887, 888, 1022, 1093, 1100],
}


class LabelSource:
    """A source of labels only."""

    name = "labels"
    classes = ("a", "b", "c")
    fingerprint = ""

    def __init__(self, **parts: list[int]) -> None:
        self.parts = parts

    def labels(self, part: Part) -> NDArray[np.int64]:
        return np.repeat([0, 1, 2], self.parts[part])


def test_geometric_sizes_grow_by_a_constant_factor_to_all_images() -> None:
    assert geometric_sizes(Geometric(10, 160, 5), 1000) == (10, 20, 40, 80, 160)
    assert resolve_sizes(Geometric(60, None, 5), Digits()) == (60, 133, 294, 650, 1438)


def test_sizes_that_round_to_the_same_number_are_merged() -> None:
    assert geometric_sizes(Geometric(3, 5, 9), 5) == (3, 4, 5)


def test_the_largest_size_has_enough_images_for_both_parts() -> None:
    assert most_images(80, 20, 3) == 100
    assert most_images(100, 1000, 3) == 125  # a fifth of 125 for validation, 100 for training
    assert most_images(100, 3, 3) == 103


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_class_without_images_is_named(part: Part) -> None:
    source: Any = LabelSource(**{"train": [9, 9, 9], "val": [3, 3, 3], "test": [3, 3, 3], part: [3, 0, 3]})
    with pytest.raises(DataError, match=r"too few images of class 'b'"):
        resolve_sizes((10, 20), source)


def test_subsets_of_a_study_are_pinned() -> None:
    """If these numbers change, so do the results of all studies."""
    chosen = {draw: ImageDataModule("digits", 8, images=25, draw=draw).chosen for draw in (0, 1)}
    assert chosen[0]["train"].tolist() == PINNED[0]
    assert chosen[1]["train"].tolist() == PINNED[1]


@pytest.mark.parametrize("draw", [0, 1, 9])
def test_subsets_are_nested_and_the_test_set_is_never_touched(draw: int) -> None:
    data = [ImageDataModule("digits", 8, images=size, draw=draw) for size in (30, 60, 294, 1438)]
    for part in ("train", "val"):
        for smaller, larger in pairwise(set(one.chosen[part].tolist()) for one in data):
            assert smaller < larger
    for one in data:
        assert one.count("train") + one.count("val") == {0: 30, 1: 60, 2: 294, 3: 1438}[data.index(one)]
        assert np.array_equal(one.part("test").labels, Digits().labels("test"))
        assert len(np.unique(one.part("val").labels)) == 10
