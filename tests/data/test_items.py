"""The parts of listed images: given, cut from the training images, or refused."""

import numpy as np
import pytest

from vitrail.data.groups import ALONE
from vitrail.data.items import Items
from vitrail.data.names import Names
from vitrail.data.targets import Labels, Values
from vitrail.errors import DataError

CODES = np.repeat([0, 1], [20, 10])


def items(parts: list[int] | None = None, groups: np.ndarray | None = None, codes: np.ndarray = CODES) -> Items:
    given = None if parts is None else np.array(parts, np.int8)
    return Items(Names.of(map(str, range(len(codes)))), Labels(("cat", "dog"), codes), given, groups)


def test_parts_that_are_given_are_kept() -> None:
    rows = items([0] * 10 + [1] * 5 + [2] * 15).split(0, "here")
    assert {part: rows[part].tolist() for part in rows} == {
        "train": list(range(10)),
        "val": list(range(10, 15)),
        "test": list(range(15, 30)),
    }


@pytest.mark.parametrize(("given", "cut"), [(1, "test"), (2, "val")])
def test_a_part_that_is_not_given_is_cut_from_training(given: int, cut: str) -> None:
    rows = items([0] * 15 + [given] * 5 + [0] * 10).split(0, "here")
    assert np.bincount(CODES[rows[cut]]).tolist() == [3, 2]  # type: ignore[index]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(30))


def test_groups_stay_together() -> None:
    groups = np.where(np.arange(30) < 24, np.arange(30) // 4, ALONE)
    rows = items(groups=groups).split(3, "here")
    for group in range(6):
        assert sum(bool((groups[rows[part]] == group).any()) for part in rows) == 1
    assert {part: len(rows[part]) for part in rows} == {"train": 18, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (items(codes=np.array([0] * 9 + [1, 1])), r"here: class 'dog' has 2 image\(s\) to split; it needs at least 3"),
        (items([0] * 6 + [1], codes=np.array([0, 0, 0, 0, 0, 1, 1])), r"class 'dog' has 1 image.* at least 2"),
        (items(groups=CODES), r"class 'cat' has 1 group\(s\) of images to split; it needs at least 3"),
        (items(codes=np.array([], np.int64)), r"here: it has 0 image\(s\) to split"),
        (Items(Names.of("ab"), Values(("a",), np.zeros((2, 1), np.float32))), r"it has 2 image\(s\) to split"),
    ],
)
def test_too_few_images_to_split_are_refused(given: Items, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        given.split(0, "here")
