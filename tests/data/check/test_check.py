"""The whole check of small sets: one fault of every kind is found, with its images, and nothing else."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data.check.check import check
from vitrail.data.check.findings import Finding, Report
from vitrail.errors import UsageError

from ...sources import FOLDERS

Found = Callable[[Path], dict[str, list[Finding]]]


def report_of(path: Path | str) -> Report:
    return check(str(path), 0, lambda done, count: None).report


def images_of(finding: Finding) -> list[tuple[str, ...]]:
    return [example.images for example in finding.examples]


def test_a_good_set_has_no_findings(plain: Path) -> None:
    report = report_of(plain)
    assert report.findings == ()
    assert not report.is_refused
    assert [(one.name, one.train, one.val, one.test) for one in report.classes] == [
        ("cat", 12, 2, 2),
        ("dog", 12, 2, 2),
    ]
    assert report.formats == {"JPEG": 32}
    assert report.modes == {"RGB": 32}
    assert report.shorter is not None
    assert list(asdict(report.shorter).values()) == [64] * 5
    assert report.cut is not None
    assert list(report.cut) == pytest.approx([1 / 3, 1 / 3])


def test_what_fit_refuses_is_listed_whole(messy: Path, found: Found) -> None:
    kinds = found(messy)
    (corrupt,), (unreadable,), (leak,), (opened,) = (
        kinds[kind] for kind in ("corrupt", "unreadable", "leak", "cannot be opened")
    )
    reasons = {example.images[0]: example.note for example in corrupt.examples}
    assert reasons.keys() == {f"train/cat/{name}.jpg" for name in ("empty", "cut", "phone")}
    assert reasons["train/cat/empty.jpg"] == "the file is empty"
    assert "magick mogrify" in reasons["train/cat/phone.jpg"]
    assert images_of(unreadable) == [("train/dog/unreadable.jpg",)]
    assert images_of(leak) == [("test/cat/leak.jpg", "train/cat/00.jpg")]
    assert opened.text.startswith("links to what is not there: ")
    assert {kind for kind, some in kinds.items() if some[0].weight == "refused"} == {
        "corrupt",
        "unreadable",
        "leak",
        "cannot be opened",
    }


def test_warnings_name_their_images(messy: Path, found: Found) -> None:
    kinds = found(messy)
    expected = {
        "near leak": [("val/cat/mirrored.png", "train/cat/02.jpg")],
        "near duplicates": [("train/cat/02.jpg", "val/cat/mirrored.png")],
        "two labels": [("train/cat/01.jpg", "train/dog/other label.jpg")],
        "duplicates": [
            ("train/cat/00.jpg", "test/cat/leak.jpg"),
            ("train/cat/01.jpg", "train/dog/other label.jpg"),
        ],
        "blank": [("train/dog/blank.png",), ("train/dog/print.jpg",)],
        "small": [("train/dog/icon.png",)],
        "cropped": [("train/dog/wide.jpg",)],
        "turned": [("train/dog/turned.jpg",)],
        "animated": [("train/dog/moving.gif",)],
        "modes": [("train/dog/moving.gif",), ("train/dog/print.jpg",), ("train/dog/ねこ\n.png",)],
        "misnamed": [("train/dog/wide.jpg",)],
    }
    assert {kind: images_of(kinds[kind][0]) for kind in expected} == expected
    assert kinds["two labels"][0].examples[0].note == "cat and dog"
    assert sorted((one.text, images_of(one)[0][0]) for one in (*kinds["other format"], *kinds["left out"])) == [
        ("HEIC files, which are not read: 1", "train/dog/photo.HEIC"),
        ("TIFF files, which are not read: 1", "train/dog/scan.tif"),
        ("images beside the set, which are not used: 1", "beside.png"),
        ("links that lead nowhere, or to themselves: 1", "train/dog/loop.jpg"),
        ("links to folders, which add no image: 1", "train/dog/up"),
    ]
    assert [example.note for example in kinds["small classes"][0].examples] == ["bird"]


def test_a_class_too_small_to_split_is_refused_and_counted(plain: Path, found: Found) -> None:
    pile = plain / "train"
    (pile / "owl").mkdir()
    shutil.copy(pile / "cat/00.jpg", pile / "owl/one.jpg")
    kinds = found(pile)
    assert kinds["cannot be opened"][0].text.startswith(f"{pile}: class 'owl' has 1 image(s) to split")
    assert [example.note for one in kinds["small classes"] for example in one.examples] == ["owl"]
    assert kinds["imbalance"][0].text.endswith("'dog' 12, 'owl' 1")
    assert "--model.balance logit_adjust" in kinds["imbalance"][0].advice


@pytest.mark.parametrize("kind", FOLDERS)
def test_sets_of_every_kind_are_checked(kind: str, tmp_path: Path, cache: None) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    FOLDERS[kind](folder)
    report = report_of(folder)
    assert not report.is_refused
    assert sum(one.total for one in report.classes) == report.count == (50 if kind == "idx" else 40)
    assert report.modes == {"RGB": report.count}
    assert not [one for one in report.findings if one.kind != "small classes"]


def test_a_set_of_which_a_file_is_unreadable_is_still_compared(plain: Path, found: Found) -> None:
    os.symlink("/proc/self/mem", plain / "train/cat/unreadable.jpg")
    shutil.copy(plain / "train/cat/00.jpg", plain / "test/dog/leak.jpg")
    kinds = found(plain)
    assert images_of(kinds["leak"][0]) == [("test/dog/leak.jpg", "train/cat/00.jpg")]
    assert images_of(kinds["two labels"][0]) == [("train/cat/00.jpg", "test/dog/leak.jpg")]


def test_an_empty_folder_is_refused_and_no_folder_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = report_of(tmp_path / "empty")
    assert report.is_refused
    assert report.count == 0
    assert report.shorter is None
    with pytest.raises(UsageError, match="there is no folder of images"):
        report_of(tmp_path / "nowhere")


def test_the_check_changes_nothing(messy: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(file): (file.lstat().st_size, file.lstat().st_mtime_ns) for file in messy.rglob("*")}

    before = state()
    report_of(messy)
    assert state() == before


def test_progress_counts_every_image(plain: Path) -> None:
    for number in range(100):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)).save(
            plain / f"train/cat/n{number}.png"
        )
    seen: list[tuple[int, int]] = []
    check(str(plain), 0, lambda done, count: seen.append((done, count)))
    assert seen == [(64, 132), (128, 132), (132, 132)]
