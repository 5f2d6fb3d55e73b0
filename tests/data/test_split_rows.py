"""Rows of given splits: which parts they become, and which classes count."""

import io
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from vitrail.data.source import PARTS, Part
from vitrail.data.split_rows import Numbers, SplitRows, trained_classes
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule

TWENTY = np.arange(20) % 2


class Levels(SplitRows):
    """Image i of a split is of grey level i; odd ones are stored as PNG."""

    def _image(self, split: Part, row: int) -> bytes | Image.Image:
        image = Image.new("L", (5, 4), row)
        if row % 2 == 0:
            return image
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()


class Broken(Levels):
    def _image(self, split: Part, row: int) -> bytes | Image.Image:
        return b"\x89PNG\r\n\x1a\n" if row in (3, 4) else super()._image(split, row)


def test_encoded_and_decoded_images_are_read_alike() -> None:
    source = Levels("levels", ("a", "b"), {"train": TWENTY, "val": TWENTY, "test": TWENTY}, 0)
    samples = source.read("train", InputRule(3), np.array([7, 4]))
    assert samples.images[:, 1, 1].tolist() == [[7] * 3, [4] * 3]
    assert samples.labels.tolist() == [1, 0]
    assert samples.names == ("train 7", "train 4")
    assert source.whole("val", 6).tolist() == np.full((4, 5, 3), 6).tolist()
    assert source.whole("val", 7).shape == (4, 5, 3)
    assert source.encoded("val", 6) is None
    assert source.encoded("val", 7) == source._image("val", 7)
    assert source.targets("val", InputRule(3), np.array([2, 3])).tolist() == [0, 1]
    contents = source.contents("test")
    assert len(np.unique(contents.images)) == 20
    assert len(np.unique(contents.targets)) == 2


def test_all_damaged_images_are_named() -> None:
    source = Broken("broken", ("a", "b"), {"train": TWENTY, "val": TWENTY, "test": TWENTY}, 0)
    with pytest.raises(DamagedImages, match=r"^2 image\(s\) .*test 3: .*; test 4: "):
        source.read("test", InputRule(3))


@pytest.mark.parametrize("given", [("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")])
def test_parts_without_a_split_are_cut_from_the_training_rows(given: tuple[Part, ...]) -> None:
    source = Levels("levels", ("a", "b"), dict.fromkeys(given, TWENTY), 0)
    names = {part: [*source.contents(part).names] for part in PARTS}
    cut = [names[part] for part in PARTS if part not in given[1:]]
    assert sorted(chain.from_iterable(cut)) == sorted(f"train {row}" for row in range(20))
    for part in given[1:]:
        assert names[part] == [f"{part} {row}" for row in range(20)]
    assert all(len(np.unique(source.labels(part))) == 2 for part in PARTS)
    for part in PARTS:
        levels = [int(source.whole(part, index)[0, 0, 0]) for index in range(len(names[part]))]
        assert [name.split()[1] for name in names[part]] == [str(level) for level in levels]
        assert source.labels(part).tolist() == [level % 2 for level in levels]


def test_classes_without_training_images_do_not_count() -> None:
    labels = {"train": np.array([3, 1, 1, 3]), "test": np.array([1, 3])}
    classes, numbered = trained_classes("set", "abcde", labels)  # type: ignore[arg-type]
    assert classes == ("b", "d")
    assert {part: numbers.tolist() for part, numbers in numbered.items()} == {"train": [1, 0, 0, 1], "test": [0, 1]}


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"train": np.array([0, 1]), "test": np.array([0, 2])}, "its test split has images of classes without .* 'c'"),
        ({"train": np.array([1, 1])}, "1 class"),
        ({"train": np.array([0, 0, 0, 1, 1])}, r"class 'b' has 2 image\(s\) to split; it needs at least 3"),
    ],
)
def test_refusals(labels: Numbers, why: str) -> None:
    with pytest.raises(DataError, match=why):
        Levels("set", "abc", labels, 0)
