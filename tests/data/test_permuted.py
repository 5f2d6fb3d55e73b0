"""Permuted patches: every pixel is kept, at another place, the same for all images of all parts."""

import numpy as np
import pytest

from vitrail.data import Permuted, Source, open_source
from vitrail.data.permuted import permuted
from vitrail.data.source import PARTS
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule

RULE = InputRule(8)


@pytest.fixture(scope="module")
def digits() -> Source:
    return open_source("digits", 0)


@pytest.fixture(scope="module")
def mixed() -> Source:
    return open_source("permute-patches-4x4:digits", 0)


def patches(canvas: np.ndarray, grid: int) -> list[bytes]:
    side = len(canvas) // grid
    return [
        canvas[top : top + side, left : left + side].tobytes()
        for top in range(0, len(canvas), side)
        for left in range(0, len(canvas), side)
    ]


def test_one_permutation_moves_the_patches_of_all_images(digits: Source, mixed: Source) -> None:
    assert isinstance(mixed, Permuted)
    assert sorted(mixed.order) == list(range(16)) != mixed.order.tolist()
    for part in PARTS:
        here, there = digits.read(part, RULE), mixed.read(part, RULE)
        assert np.array_equal(here.labels, there.labels)
        for image, moved in zip(here.images[::20], there.images[::20], strict=True):
            before = patches(image, 4)
            assert patches(moved, 4) == [before[i] for i in mixed.order]


def test_a_whole_image_is_the_canvas_of_its_own_size(mixed: Source) -> None:
    assert np.array_equal(mixed.whole("test", 5), mixed.read("test", RULE, np.array([5])).images[0])
    assert mixed.file("test", 5) is None


def test_a_whole_image_is_cut_at_its_own_shape() -> None:
    source = Permuted(open_source("shapes", 0), 3)
    assert source.whole("val", 0).shape == (33, 33, 3)


def test_maps_move_with_their_images() -> None:
    inner, source = (open_source(f"{start}digit-scenes-dense", 0) for start in ("", "permute-patches-3x3:"))
    some = np.arange(5)
    here, there = (one.read("val", InputRule(24), some) for one in (inner, source))
    assert np.array_equal(there.labels, permuted(here.labels, Permuted(inner, 3).order))
    assert np.array_equal(there.labels, source.targets("val", InputRule(24), some))
    for image, labels in zip(there.images, there.labels, strict=True):
        assert not image[labels == 10].any()
    assert isinstance(source, Permuted)
    assert np.array_equal(source.whole_map("val", 3), there.labels[3])


def test_grids_are_of_patches_and_permutations_are_inverted_by_their_inverse() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 3), np.uint8)
    order = np.array([4, 1, 7, 0, 3, 8, 2, 6, 5])
    assert np.array_equal(permuted(permuted(images, order), order.argsort()), images)
    assert np.array_equal(permuted(images, order)[1, :2, :3], images[1, 2:4, 3:6])


def test_neither_is_taken_for_the_other(digits: Source, mixed: Source) -> None:
    other = open_source("permute-patches-2x2:digits", 0)
    assert len({source.fingerprint for source in (digits, mixed, other)}) == 3
    keys = [source.contents("test").images for source in (digits, mixed, other)]
    assert not np.isin(keys[0], keys[1]).any()
    assert not np.isin(keys[1], keys[2]).any()
    assert np.array_equal(digits.contents("test").targets, mixed.contents("test").targets)


@pytest.mark.parametrize(
    ("path", "rule", "why"),
    [
        ("permute-patches-4x4:digits", InputRule(10), "that 4 divides, not squash and 10"),
        ("permute-patches-4x4:digits", InputRule(8, "crop"), "not crop and 8"),
        ("permute-patches-4x2:digits", RULE, "the grid: permute-patches-4x4"),
        ("permute-patches-1x1:digits", RULE, "at least 2x2"),
    ],
)
def test_refusals(path: str, rule: InputRule, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        open_source(path, 0).read("val", rule)
