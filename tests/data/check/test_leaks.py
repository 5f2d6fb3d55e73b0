"""Images of one part in another, by content."""

import numpy as np
import pytest

from vitrail.data import open_source
from vitrail.data.check.leaks import leaks, refuse_leaks
from vitrail.data.contents import Contents, text_keys
from vitrail.data.source import PARTS, Part
from vitrail.errors import DataError


def contents(part: str, *shown: str) -> Contents:
    names = tuple(f"{part}/{number}" for number in range(len(shown)))
    return Contents(names, text_keys(shown), np.zeros(len(shown), np.int64))


SEPARATE: dict[Part, Contents] = {
    "train": contents("train", "cat", "dog", "dog"),
    "val": contents("val", "hen"),
    "test": contents("test"),
}
SHARED: dict[Part, Contents] = {
    "train": contents("train", "cat", "dog", "dog", "owl"),
    "val": contents("val", "hen", "owl"),
    "test": contents("test", "cow", "dog", "hen", "dog"),
}


def test_duplicates_within_a_part_are_no_leak() -> None:
    assert leaks(SEPARATE) == ()
    refuse_leaks(SEPARATE, "")


def test_each_leaked_image_is_paired_with_its_first_copy() -> None:
    found = {(one.part, one.earlier): one.pairs for one in leaks(SHARED)}
    assert found == {
        ("test", "train"): (("test/1", "train/1"), ("test/3", "train/1")),
        ("test", "val"): (("test/2", "val/0"),),
        ("val", "train"): (("val/1", "train/3"),),
    }


def test_leaks_are_refused_in_one_error_that_says_how_to_keep_them() -> None:
    with pytest.raises(DataError) as refused:
        refuse_leaks(SHARED, "my images")
    assert str(refused.value).startswith(
        "2 of 4 test images are training images too (the first: test/1 is train/1); 1 of 4 test images are validation "
        "images too (the first: test/2 is val/0); 1 of 2 validation images are training images too"
    )
    assert "--data.duplicates=allow" in str(refused.value)
    assert "`vitrail data check 'my images'`" in str(refused.value)


@pytest.mark.parametrize("name", ["digits", "digit-scenes-multilabel"])
def test_built_in_sets_leak_nothing(name: str) -> None:
    source = open_source(name, 3)
    assert leaks({part: source.contents(part) for part in PARTS}) == ()
