"""Subsets: nested, stratified, seeded; disjoint splits."""

from itertools import pairwise

import numpy as np
import pytest

from vitrail.data.subsets import held_out, nested_subset, sizes_for, stratified_order, three_parts
from vitrail.errors import DataError

LABELS = np.repeat([0, 1, 2], [60, 30, 10])


@pytest.mark.parametrize("seed", range(5))
def test_subsets_are_nested(seed: int) -> None:
    subsets = [set(nested_subset(LABELS, count, seed)) for count in (3, 10, 17, 50, 100)]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger


@pytest.mark.parametrize("count", [10, 20, 50, 100])
def test_every_class_keeps_its_share(count: int) -> None:
    counts = np.bincount(LABELS[nested_subset(LABELS, count, seed=3)])
    assert np.abs(counts - np.array([0.6, 0.3, 0.1]) * count).max() <= 1


def test_the_smallest_subset_holds_one_of_each_class() -> None:
    assert sorted(LABELS[nested_subset(LABELS, 3, seed=0)]) == [0, 1, 2]


def test_each_seed_gives_its_own_reproducible_order() -> None:
    assert np.array_equal(stratified_order(LABELS, 1), stratified_order(LABELS, 1))
    assert not np.array_equal(stratified_order(LABELS, 1), stratified_order(LABELS, 2))


def test_chosen_indices_are_pinned() -> None:
    """If these numbers change, results are no longer comparable with earlier ones."""
    assert nested_subset(LABELS, 8, seed=0).tolist() == [5, 16, 20, 36, 72, 82, 83, 93]


@pytest.mark.parametrize("count", [2, 101])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises(DataError):
        nested_subset(LABELS, count, seed=0)


def test_held_out_takes_its_share_of_every_class_and_leaves_the_rest() -> None:
    rest, out = held_out(LABELS, 0.2, seed=0)
    assert np.bincount(LABELS[out]).tolist() == [12, 6, 2]
    assert sorted([*rest, *out]) == list(range(100))


def test_held_out_never_takes_the_last_of_a_class() -> None:
    rest, out = held_out(np.array([0, 0, 1, 1]), 0.9, seed=0)
    assert len(rest) == len(out) == 2


def test_three_parts_are_disjoint_and_complete() -> None:
    parts = three_parts(LABELS, seed=0)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert [len(parts["train"]), len(parts["val"]), len(parts["test"])] == [63, 17, 20]


def test_a_fifth_is_for_validation_with_every_class() -> None:
    assert sizes_for(100, classes=10, available=1000) == (80, 20)
    assert sizes_for(30, classes=10, available=1000) == (20, 10)
    assert sizes_for(100, classes=10, available=15) == (85, 15)
    with pytest.raises(DataError, match="at least 20"):
        sizes_for(19, classes=10, available=1000)
