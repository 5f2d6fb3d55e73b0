"""Folders with labels.csv or values.csv: their contents, their split, and an error message for every fault."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vitrail.data import open_source
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

from .conftest import Write

RULE = InputRule(4)
SPLIT = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def test_labels_are_sets_and_an_image_may_have_none(write: Write) -> None:
    lines = ["image,labels,part", *(f"{i}.png,{['', 'oak', ' fir ;oak'][i % 3]},{SPLIT[i]}" for i in range(12))]
    source = open_source(str(write("labels.csv", lines)), 0)
    assert (source.task, source.classes) == ("multilabel", ("fir", "oak"))
    images = source.read("train", RULE)
    assert images.labels.tolist() == [[[0, 0], [0, 1], [1, 1]][i % 3] for i in range(8)]
    assert images.labels.dtype == np.uint8
    assert images.names == tuple(f"{i}.png" for i in range(8))
    assert images.images[:, 0, 0, 0].tolist() == [20 * i for i in range(8)]
    assert source.whole("test", 1).shape == (4, 6, 3)


def test_a_rare_label_is_in_every_part(write: Write) -> None:
    lines = ["image,labels", *(f"{i}.png,common{';rare' if i % 20 == 0 else ''}" for i in range(100))]
    source = open_source(str(write("labels.csv", lines, 100)), 3)
    shares = {part: source.read(part, RULE).labels for part in ("train", "val", "test")}
    assert {part: len(labels) for part, labels in shares.items()} == {"train": 64, "val": 16, "test": 20}
    assert {part: labels[:, 1].sum() for part, labels in shares.items()} == {"train": 3, "val": 1, "test": 1}
    names = [name for part in ("train", "val", "test") for name in source.read(part, RULE).names]
    assert Counter(names) == Counter(f"{i}.png" for i in range(100))


def test_values_are_numbers_by_the_names_of_their_columns(write: Write) -> None:
    lines = ["image,height,weight", *(f"{i}.png,{i / 2},-1e{i}" for i in range(12))]
    source = open_source(str(write("values.csv", lines)), 0)
    assert (source.task, source.classes) == ("regression", ("height", "weight"))
    images = source.read("train", RULE)
    number = [int(name.removesuffix(".png")) for name in images.names]
    np.testing.assert_allclose(images.labels, [[i / 2, -(10.0**i)] for i in number], rtol=1e-6)
    assert images.labels.dtype == np.float32


def test_parts_that_the_table_does_not_name_are_split_off(write: Write) -> None:
    lines = ["image,height,part", *(f"{i}.png,{i},{'test' if i < 3 else 'train'}" for i in range(12))]
    source = open_source(str(write("values.csv", lines)), 0)
    assert source.read("test", RULE).names == ("0.png", "1.png", "2.png")
    assert [len(source.labels(part)) for part in ("train", "val", "test")] == [7, 2, 3]
    assert not {"0.png", "1.png", "2.png"} & {*source.read("train", RULE).names, *source.read("val", RULE).names}


def test_the_seed_decides_the_split_and_files_the_fingerprint(write: Write) -> None:
    folder = write("values.csv", ["image,height", *(f"{i}.png,{i}" for i in range(12))])
    first, again, other = (open_source(str(folder), seed) for seed in (0, 0, 1))
    assert first.read("test", RULE).names == again.read("test", RULE).names
    assert first.read("test", RULE).names != other.read("test", RULE).names
    before = first.fingerprint
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes() + b"more")
    assert open_source(str(folder), 0).fingerprint != before


GOOD = [f"{i}.png,oak" for i in range(12)]
NUMBERS = [f"{i}.png,{i}" for i in range(12)]
FAULTS = {
    "a missing image": ("labels.csv", ["image,labels", "x.png,oak", *GOOD], "line 2: there is no image 'x.png'"),
    "several at once": (
        "labels.csv",
        ["image,labels", "x.png,oak", "y.png,fir", *GOOD],
        "line 2: there is no image 'x.png'; line 3: there is no image 'y.png'",
    ),
    "an image twice": (
        "labels.csv",
        ["image,labels", *GOOD, "3.png,fir"],
        "line 14: '3.png' is in line 5 already",
    ),
    "an unknown part": (
        "labels.csv",
        ["image,labels,part", "1.png,oak,dev"],
        "the part 'dev' is unknown; there is train",
    ),
    "some parts": ("labels.csv", ["image,labels,part", "1.png,oak,train", "2.png,oak,"], "filled in some rows"),
    "another column": ("labels.csv", ["image,label", *GOOD], "must have the columns 'image' and 'labels'"),
    "no values": ("values.csv", ["image,part", "1.png,train"], "the column 'image' and one for each value"),
    "a column twice": ("values.csv", ["image,a,a", "1.png,1,2"], "two of one name: 'image,a,a'"),
    "no number": (
        "values.csv",
        ["image,a", *NUMBERS[:5], "7.png,tall"],
        "line 7: 'tall' in the column 'a' is no number",
    ),
    "infinity": ("values.csv", ["image,a", *NUMBERS[:5], "7.png,inf"], "'inf' in the column 'a' is no number"),
    "an empty cell": ("values.csv", ["image,a", *NUMBERS[:5], "7.png,"], "'' in the column 'a' is no number"),
    "nothing to learn": ("values.csv", ["image,a", *(f"{i}.png,4" for i in range(9))], "'a' is the same for every"),
    "too many cells": ("values.csv", ["image,a", "1.png,1,2"], "line 2 has 3 cells, the first line 2"),
    "an empty table": ("values.csv", ["image,a"], "has no images in it"),
    "no label at all": ("labels.csv", ["image,labels", *(f"{i}.png," for i in range(9))], "gives no image a label"),
    "too few": (
        "values.csv",
        ["image,a", "1.png,1", "2.png,2"],
        "has 2 image(s) for training; it needs at least 3",
    ),
    "another folder": ("labels.csv", ["image,labels", "/x.png,oak"], "'/x.png' is not named from the table's own"),
    "no image by its name": (
        "labels.csv",
        ["image,labels", "labels.csv,oak"],
        "'labels.csv' is not an image format",
    ),
}


@pytest.mark.parametrize(("table", "lines", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_is_named_with_its_line(table: str, lines: list[str], reason: str, write: Write) -> None:
    folder = write(table, lines)
    with pytest.raises(DataError) as refused:
        open_source(str(folder), 0)
    assert reason in str(refused.value)
    assert str(folder / table) in str(refused.value)


def test_five_of_many_faults_are_named(write: Write) -> None:
    with pytest.raises(DataError, match=r"no image 'x4\.png'; and 4 more"):
        open_source(str(write("labels.csv", ["image,labels", *(f"x{i}.png,oak" for i in range(9))])), 0)


def test_two_tables_are_two_tasks(write: Write) -> None:
    write("labels.csv", ["image,labels", *GOOD])
    with pytest.raises(DataError, match=r"labels\.csv and values\.csv: keep the one"):
        open_source(str(write("values.csv", ["image,a", *NUMBERS])), 0)


def test_a_binary_table_is_refused(write: Write) -> None:
    folder = write("labels.csv", ["image,labels", *GOOD])
    Path(folder / "labels.csv").write_bytes(b"image,labels\n\xff\xfe,oak\n")
    with pytest.raises(DataError, match="cannot be read as a CSV file in UTF-8"):
        open_source(str(folder), 0)
