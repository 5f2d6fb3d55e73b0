"""Images without labels: any set in the parts of `vitrail fit`, and folders that hold images alone."""

import re
from pathlib import Path

import numpy as np
import pytest

from vitrail.data import open_source
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.data.unlabelled import open_unlabelled
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

from ..sources import FOLDERS, draw_images

RULE = InputRule(4)


def names_in(folder: Path) -> dict[str, set[str]]:
    source = open_unlabelled(str(folder), 0)
    return {part: set(source.contents(part).names) for part in PARTS}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_labelled_set_keeps_its_parts_and_subsets_and_loses_its_labels(kind: str, tmp_path: Path) -> None:
    FOLDERS[kind](tmp_path)
    bare, full = open_unlabelled(str(tmp_path), 3), open_source(str(tmp_path), 3)
    assert (bare.classes, bare.task, bare.weights("train")) == ((), "classification", None)
    assert bare.fingerprint == full.fingerprint
    few = Selection(str(tmp_path), 3, images=10)
    for part in PARTS:
        assert bare.contents(part).images.tolist() == full.contents(part).images.tolist()
        assert few.contents(bare, part).images.tolist() == few.contents(full, part).images.tolist()
        samples = bare.read(part, RULE)
        assert np.array_equal(samples.images, full.read(part, RULE).images)
        assert samples.labels.tolist() == bare.targets(part, RULE).tolist() == [0] * len(samples)


def test_a_flat_folder_is_split_in_two_and_nothing_is_held_out_for_a_test(tmp_path: Path) -> None:
    draw_images(tmp_path, [f"{i:02d}.png" for i in range(36)] + [f"album/{i}.png" for i in range(4)])
    names = names_in(tmp_path)
    assert {part: len(images) for part, images in names.items()} == {"train": 34, "val": 6, "test": 0}
    assert len(names["train"] | names["val"]) == 40  # those in the folder inside as well
    assert names_in(tmp_path) == names


def test_one_folder_inside_is_no_class(tmp_path: Path) -> None:
    draw_images(tmp_path, [f"all/{i:02d}.png" for i in range(10)])
    assert {part: len(images) for part, images in names_in(tmp_path).items()} == {"train": 8, "val": 2, "test": 0}


@pytest.mark.parametrize("parts", [("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")])
def test_flat_folders_of_parts_are_kept_as_parts(parts: tuple[str, ...], tmp_path: Path) -> None:
    draw_images(tmp_path, [f"{part}/{i:02d}.png" for part in parts for i in range(10)])
    names = names_in(tmp_path)
    folders = {part: {name.partition("/")[0] for name in names[part]} for part in PARTS}
    assert folders["train"] == {"train"}
    assert folders["val"] == {"val" if "val" in parts else "train"}
    assert folders["test"] == ({"test"} if "test" in parts else set())
    assert sum(map(len, names.values())) == 10 * len(parts)  # each image is in one part


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "there are no images in"),
        (["train/0.png", "val/notes/0.txt"], "there are no images in"),
        (["0.png", "1.png"], "it has 2 image(s) to split; it needs at least 3"),
    ],
)
def test_unusable_folders_are_refused(names: list[str], reason: str, tmp_path: Path) -> None:
    draw_images(tmp_path, [name for name in names if name.endswith("png")])
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=re.escape(reason)):
        open_unlabelled(str(tmp_path), 0)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder of images at"):
        open_unlabelled(str(tmp_path / "none"), 0)
