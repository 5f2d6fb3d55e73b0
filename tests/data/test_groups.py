"""Held-out groups: none is in two parts, and shares are as near as groups allow."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrail.data.groups import ALONE, hold_out_groups
from vitrail.data.subsets import held_out, three_parts

DRAWN = st.lists(st.tuples(st.integers(0, 3), st.integers(ALONE, 12)), min_size=6, max_size=120)


def columns(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, groups = np.array(rows, np.int64).T
    return labels, groups


@settings(deadline=None, derandomize=True)
@given(DRAWN, st.integers(0, 10))
def test_no_group_is_in_two_parts_and_every_image_is_in_one(rows: list[tuple[int, int]], seed: int) -> None:
    labels, groups = columns(rows)
    parts = three_parts(labels, seed, groups)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    for one, other in combinations(parts.values(), 2):
        assert not set(groups[one]) & set(groups[other]) - {ALONE}


@settings(deadline=None, derandomize=True)
@given(DRAWN, st.integers(0, 10), st.sampled_from([0.1, 0.2, 0.5]))
def test_groups_of_one_class_miss_its_share_by_less_than_the_largest(
    rows: list[tuple[int, int]], seed: int, share: float
) -> None:
    groups = columns(rows)[1]
    labels = np.where(groups == ALONE, 0, groups % 3)
    out = held_out(labels, share, seed, groups)[1]
    for label in np.unique(labels):
        of_class = labels == label
        sizes = np.bincount(groups[of_class & (groups != ALONE)], minlength=1)
        assert abs((labels[out] == label).sum() - share * of_class.sum()) <= max(1, sizes.max())


@settings(deadline=None, derandomize=True)
@given(DRAWN, st.integers(0, 10), st.integers(1, 2))
def test_every_class_keeps_as_many_groups_as_there_are_other_parts(
    rows: list[tuple[int, int]], seed: int, leave: int
) -> None:
    labels, groups = columns(rows)
    rest = held_out(labels, 0.2, seed, groups, leave)[0]
    for label in np.unique(labels):
        before, after = (units(groups[labels == label]), units(groups[rest][labels[rest] == label]))
        assert after >= min(before, leave)


def units(groups: np.ndarray) -> int:
    return int((groups == ALONE).sum()) + len(set(groups.tolist()) - {ALONE})


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=60), st.integers(0, 10))
def test_groups_of_one_image_change_nothing(drawn: list[int], seed: int) -> None:
    labels = np.array(drawn)
    expected = held_out(labels, 0.2, seed)
    for groups in (np.full(len(labels), ALONE), np.arange(len(labels))):
        assert np.array_equal(held_out(labels, 0.2, seed, groups)[1], expected[1])


@pytest.mark.parametrize("seed", range(5))
def test_classes_keep_their_shares_where_groups_are_small(seed: int) -> None:
    """300 people with 1 to 9 images of three classes each."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(300), random.integers(1, 10, 300))
    labels = random.choice(3, len(groups), p=[0.7, 0.2, 0.1])
    for part, share in (("test", 0.2), ("val", 0.16), ("train", 0.64)):
        rows = three_parts(labels, seed, groups)[part]  # type: ignore[index]
        np.testing.assert_allclose(np.bincount(labels[rows]) / np.bincount(labels), share, atol=0.05)


def test_the_seed_decides_which_groups() -> None:
    groups, labels = np.repeat(np.arange(20), 5), np.zeros(100, np.int64)
    chosen = [hold_out_groups(labels, groups, 0.2, seed, 1).held for seed in (0, 0, 1)]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    assert [held.sum() for held in chosen] == [20, 20, 20]


def test_one_class_in_two_large_groups_still_has_both_parts() -> None:
    rest, out = held_out(np.zeros(20, np.int64), 0.2, 0, np.repeat([0, 1], 10))
    assert len(rest) == len(out) == 10
