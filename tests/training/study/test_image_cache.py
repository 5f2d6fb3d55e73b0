"""Images kept between runs: each is decoded once, and is the image that its source would have given."""

import numpy as np
from numpy.typing import NDArray

from vitrail.data import Digits, Part, Samples
from vitrail.data.source import PARTS
from vitrail.images.canvas import InputRule
from vitrail.training.study.image_cache import Few, Kept

RULE = InputRule(8)


class Counting(Digits):
    """Remembers which images were decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded: list[int] = []

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        assert chosen is not None
        self.decoded += chosen.tolist()
        return super().read(part, rule, chosen)


def test_no_image_is_decoded_twice_and_each_is_itself() -> None:
    source = Counting()
    kept = Kept(source)
    for chosen in ([5, 9, 2], [2, 5], [1, 9, 30], [], [30, 1]):
        indices = np.array(chosen, np.int64)
        here, there = kept.read("train", RULE, indices), Digits().read("train", RULE, np.array([*chosen, 0]))
        assert np.array_equal(here.images, there.images[:-1])
        assert np.array_equal(here.labels, there.labels[:-1])
        assert here.names == there.names[:-1]
    assert source.decoded == [5, 9, 2, 1, 30]


def test_parts_and_rules_are_kept_apart() -> None:
    kept = Kept(Digits())
    first = np.array([0])
    assert kept.read("train", RULE, first).names != kept.read("val", RULE, first).names
    assert kept.read("train", InputRule(4), first).images.shape == (1, 4, 4, 3)
    assert kept.read("train", RULE, first).images.shape == (1, 8, 8, 3)


def test_a_whole_part_is_the_whole_part() -> None:
    images = Kept(Digits()).read("test", RULE)
    assert np.array_equal(images.labels, Digits().labels("test"))
    assert Kept(Digits()).fingerprint == Digits().fingerprint


def test_few_of_many_are_some_of_each_class_and_each_is_itself() -> None:
    few, whole = Few(Digits(), 30), Digits()
    for part in PARTS:
        labels, places = few.labels(part), few.places[part]
        assert len(labels) == 30
        assert set(labels) == set(range(10))
        assert np.array_equal(few.read(part, RULE).names, whole.read(part, RULE, places).names)
        assert few.read(part, RULE, np.array([3])).names == whole.read(part, RULE, places[[3]]).names
        assert np.array_equal(few.whole(part, 3), whole.whole(part, int(places[3])))
    assert Few(whole, 10**6).read("test", RULE).names == whole.read("test", RULE).names
