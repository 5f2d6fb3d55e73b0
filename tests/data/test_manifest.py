"""Manifests: targets, parts, groups and weights, in CSV and Parquet; and an error message for every fault."""

import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from vitrail.cli import main
from vitrail.data import Manifest, open_source
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

from .conftest import Write

RULE = InputRule(4)
SPLIT = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def test_labels_are_sets_and_an_image_may_have_none(write: Write) -> None:
    lines = ["path,labels,split", *(f"{i}.png,{['', 'oak', ' fir ;oak'][i % 3]},{SPLIT[i]}" for i in range(12))]
    source = open_source(str(write("labels.csv", lines)), 0)
    assert (source.task, source.classes) == ("multilabel", ("fir", "oak"))
    images = source.read("train", RULE)
    assert images.labels.tolist() == [[[0, 0], [0, 1], [1, 1]][i % 3] for i in range(8)]
    assert images.labels.dtype == np.uint8
    assert images.names == tuple(f"{i}.png" for i in range(8))
    assert images.images[:, 0, 0, 0].tolist() == [20 * i for i in range(8)]
    assert source.whole("test", 1).shape == (4, 6, 3)


def test_a_rare_label_is_in_every_part(write: Write) -> None:
    lines = ["path,labels", *(f"{i}.png,common{';rare' if i % 20 == 0 else ''}" for i in range(100))]
    source = open_source(str(write("labels.csv", lines, 100)), 3)
    shares = {part: source.read(part, RULE).labels for part in ("train", "val", "test")}
    assert {part: len(labels) for part, labels in shares.items()} == {"train": 64, "val": 16, "test": 20}
    assert {part: labels[:, 1].sum() for part, labels in shares.items()} == {"train": 3, "val": 1, "test": 1}
    names = [name for part in ("train", "val", "test") for name in source.read(part, RULE).names]
    assert Counter(names) == Counter(f"{i}.png" for i in range(100))


def test_sequences_keep_their_order_and_repetitions(write: Write) -> None:
    texts = ["oak", " fir ;oak", "oak;oak;fir"]
    lines = ["path,sequence,split", *(f"{i}.png,{texts[i % 3]},{SPLIT[i]}" for i in range(12))]
    source = open_source(str(write("manifest.csv", lines)), 0)
    assert (source.task, source.classes) == ("sequence", ("fir", "oak"))
    images = source.read("train", RULE)
    assert images.labels.tolist() == [[[1, -1, -1], [0, 1, -1], [1, 1, 0]][i % 3] for i in range(8)]
    assert source.read("val", RULE).labels.shape == (2, 3)
    assert source.labels("train").tolist() == [i % 3 + 1 for i in range(8)]
    targets = source.contents("train").targets
    assert len(set(targets.tolist())) == 3


def test_the_order_of_a_sequence_is_part_of_its_contents(write: Write) -> None:
    lines = ["path,sequence", *(f"{i}.png,oak;fir" for i in range(12))]
    before = open_source(str(write("manifest.csv", lines)), 0).fingerprint
    lines[3] = "2.png,fir;oak"
    assert open_source(str(write("manifest.csv", lines)), 0).fingerprint != before


def test_boxes_have_a_label_and_corners(write: Write) -> None:
    texts = ["old oak 0 0 0.5 0.25", "", " fir 0.5 0.5 1 1; old oak 0 0 0.5 0.25 "]
    lines = ["path,boxes,split", *(f"{i}.png,{texts[i % 3]},{SPLIT[i]}" for i in range(12))]
    source = open_source(str(write("manifest.csv", lines)), 0)
    assert (source.task, source.classes) == ("detection", ("fir", "old oak"))
    none, oak, fir = [-1.0] * 5, [1.0, 0, 0, 0.5, 0.25], [0, 0.5, 0.5, 1.0, 1.0]
    images = source.read("train", RULE)
    assert images.labels.tolist() == [[[oak, none], [none, none], [fir, oak]][i % 3] for i in range(8)]
    assert source.read("val", RULE).labels.shape == (2, 2, 5)
    assert source.labels("train").tolist() == [[1, 0, 2][i % 3] for i in range(8)]
    assert len(set(source.contents("train").targets.tolist())) == 3
    turned = [
        line.replace(" fir 0.5 0.5 1 1; old oak 0 0 0.5 0.25 ", "old oak 0 0 0.5 0.25;fir 0.5 0.5 1 1")
        for line in lines
    ]
    assert open_source(str(write("manifest.csv", turned)), 0).fingerprint == source.fingerprint


def test_values_are_numbers_by_the_names_of_their_columns(write: Write) -> None:
    lines = ["path,height,mass", *(f"{i}.png,{i / 2},-1e{i}" for i in range(12))]
    source = open_source(str(write("values.csv", lines)), 0)
    assert (source.task, source.classes) == ("regression", ("height", "mass"))
    images = source.read("train", RULE)
    number = [int(name.removesuffix(".png")) for name in images.names]
    np.testing.assert_allclose(images.labels, [[i / 2, -(10.0**i)] for i in number], rtol=1e-6)
    assert images.labels.dtype == np.float32


def test_parts_that_the_table_does_not_name_are_split_off(write: Write) -> None:
    lines = ["path,height,split", *(f"{i}.png,{i},{'test' if i < 3 else 'train'}" for i in range(12))]
    source = open_source(str(write("values.csv", lines)), 0)
    assert source.read("test", RULE).names == ("0.png", "1.png", "2.png")
    assert [len(source.labels(part)) for part in ("train", "val", "test")] == [7, 2, 3]
    assert not {"0.png", "1.png", "2.png"} & {*source.read("train", RULE).names, *source.read("val", RULE).names}


def test_the_seed_decides_the_split_and_files_the_fingerprint(write: Write) -> None:
    folder = write("values.csv", ["path,height", *(f"{i}.png,{i}" for i in range(12))])
    first, again, other = (open_source(str(folder), seed) for seed in (0, 0, 1))
    assert first.read("test", RULE).names == again.read("test", RULE).names
    assert first.read("test", RULE).names != other.read("test", RULE).names
    before = first.fingerprint
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes() + b"more")
    assert open_source(str(folder), 0).fingerprint != before


GOOD = [f"{i}.png,oak" for i in range(12)]
GOOD_BOXES = [f"{i}.png,oak 0 0 0.5 1;fir 0.5 0 1 1" for i in range(12)]
NUMBERS = [f"{i}.png,{i}" for i in range(12)]
FAULTS = {
    "a missing image": ("labels.csv", ["path,labels", "x.png,oak", *GOOD], "line 2: there is no image 'x.png'"),
    "several at once": (
        "labels.csv",
        ["path,labels", "x.png,oak", "y.png,fir", *GOOD],
        "line 2: there is no image 'x.png'; line 3: there is no image 'y.png'",
    ),
    "an image twice": (
        "labels.csv",
        ["path,labels", *GOOD, "3.png,fir"],
        "line 14: '3.png' is in line 5 already",
    ),
    "an unknown part": (
        "labels.csv",
        ["path,labels,split", "1.png,oak,dev"],
        "line 2: the split 'dev' is unknown; there is train, val, test",
    ),
    "some parts": (
        "labels.csv",
        ["path,labels,split", "1.png,oak,train", "2.png,oak,"],
        "line 3: the column 'split' is empty here, and filled in other rows",
    ),
    "no paths": (
        "labels.csv",
        ["image,labels", *GOOD],
        "has no column 'path', which names the images; its columns: 'im",
    ),
    "no targets": (
        "values.csv",
        ["path,split", "1.png,train"],
        "one of the columns 'label', 'labels', 'sequence', 'boxes' and 'map', or a",
    ),
    "targets of two tasks": ("labels.csv", ["path,label,age", "1.png,oak,3"], "beside 'path' it has label, age"),
    "a column twice": ("values.csv", ["path,a,a", "1.png,1,2"], "or two of one name; its columns: 'path', 'a', 'a'"),
    "a column without a name": ("labels.csv", [",path,label", "0,1.png,oak"], "has a column without a name"),
    "no number": (
        "values.csv",
        ["path,a", *NUMBERS[:5], "7.png,tall"],
        "line 7: 'tall' in the column 'a' is no number",
    ),
    "infinity": ("values.csv", ["path,a", *NUMBERS[:5], "7.png,inf"], "'inf' in the column 'a' is no number"),
    "an empty cell": ("values.csv", ["path,a", *NUMBERS[:5], "7.png,"], "'' in the column 'a' is no number"),
    "nothing to learn": ("values.csv", ["path,a", *(f"{i}.png,4" for i in range(9))], "'a' is the same for every"),
    "too many cells": ("values.csv", ["path,a", "1.png,1,2"], "line 2: 3 cells, where the first line has 2"),
    "an empty table": ("values.csv", ["path,a"], "has no images in it"),
    "no label at all": ("labels.csv", ["path,labels", *(f"{i}.png," for i in range(9))], "it gives no image a label"),
    "no sequence": (
        "manifest.csv",
        ["path,sequence", *GOOD, "x.png,;"],
        "line 14: there is no sequence: give at least",
    ),
    "a label of a sequence that is not trained": (
        "manifest.csv",
        ["path,sequence,split", "1.png,oak,train", "2.png,oak;oak,train", "3.png,oak;fir,test"],
        "line 4: no training image has the class 'fir'",
    ),
    "a box without corners": (
        "manifest.csv",
        ["path,boxes", *GOOD_BOXES, "x.png,oak 0 0 1"],
        "line 14: 'oak 0 0 1' is no box: give a label, left, top, right and bottom",
    ),
    "a box that is no number": (
        "manifest.csv",
        ["path,boxes", *GOOD_BOXES, "x.png,oak 0 0 1 tall"],
        "line 14: 'oak 0 0 1 tall' is no box",
    ),
    "a box from right to left": (
        "manifest.csv",
        ["path,boxes", *GOOD_BOXES, "x.png,oak 0.5 0 0.4 1"],
        "line 14: 'oak 0.5 0 0.4 1': left and top are below right and bottom",
    ),
    "a box in pixels": (
        "manifest.csv",
        ["path,boxes", *GOOD_BOXES, "x.png,oak 10 20 30 40"],
        "all are shares of the image, from 0 to 1",
    ),
    "no box at all": ("manifest.csv", ["path,boxes", *(f"{i}.png," for i in range(9))], "it gives no image a box"),
    "too few": (
        "values.csv",
        ["path,a", "1.png,1", "2.png,2"],
        "it has 2 image(s) to split; it needs at least 3",
    ),
    "another folder": ("labels.csv", ["path,labels", "/x.png,oak"], "'/x.png' is not named from the manifest's own"),
    "above": ("labels.csv", ["path,labels", "a/../../x.png,oak"], "'../x.png' is not named from the manifest's own"),
    "one name in two forms": ("labels.csv", ["path,labels", *GOOD, "./3.png,fir"], "'3.png' is in line 5 already"),
    "no path": ("labels.csv", ["path,labels", ",oak", *GOOD], "line 2: there is no image ''"),
    "one class": ("manifest.csv", ["path,label", *GOOD], "there is only one class, 'oak'"),
    "no class": ("manifest.csv", ["path,label", *GOOD, "x.png,"], "line 14: there is no label"),
    "a class with one image": (
        "manifest.csv",
        ["path,label", *GOOD[:11], "11.png,fir"],
        "class 'fir' has 1 image(s) to split; it needs at least 3",
    ),
    "a class that is not trained": (
        "manifest.csv",
        ["path,label,split", "1.png,oak,train", "2.png,ash,train", "3.png,fir,test", "4.png,fir,test"],
        "manifest.csv: line 4: no training image has the class 'fir'",
    ),
    "a label that is not trained": (
        "manifest.csv",
        ["path,labels,split", "1.png,oak,train", "2.png,,train", "3.png,oak;fir,test"],
        "line 4: no training image has the class 'fir'",
    ),
    "nothing to train on": (
        "manifest.csv",
        ["path,a,split", "1.png,1,val", "2.png,2,val"],
        "no row has the split 'tra",
    ),
    "no positive weight": (
        "manifest.csv",
        ["path,a,weight", "1.png,1,0", "2.png,2,-1", "3.png,3,1", "4.png,4,heavy"],
        "line 2: '0' in the column 'weight' is no positive number; line 3: '-1' in the column 'weight' is no positive "
        "number; line 5: 'heavy' in the column 'weight' is no positive number",
    ),
    "a group in two parts": (
        "manifest.csv",
        ["path,a,split,group", "1.png,1,train,ann", "2.png,2,val,", "3.png,3,test,ann", "4.png,4,test,ann"],
        "line 4: the group 'ann' is in test here, and in train in line 2",
    ),
    "too few groups": (
        "manifest.csv",
        ["path,a,group", *(f"{i}.png,{i},{'ann' if i % 2 else 'bob'}" for i in range(12))],
        "it has 2 group(s) of images to split; it needs at least 3",
    ),
    "no image by its name": (
        "labels.csv",
        ["path,labels", "labels.csv,oak"],
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
        open_source(str(write("labels.csv", ["path,labels", *(f"x{i}.png,oak" for i in range(9))])), 0)


def test_two_tables_are_two_tasks(write: Write) -> None:
    write("labels.csv", ["path,labels", *GOOD])
    with pytest.raises(DataError, match=r"labels\.csv and values\.csv: keep the one"):
        open_source(str(write("values.csv", ["path,a", *NUMBERS])), 0)


def test_many_faults_of_different_kinds_are_one_error(write: Write) -> None:
    lines = ["path,label,split,weight", "x.png,oak,train,1", "1.png,,dev,1", "1.png,fir,val,none"]
    with pytest.raises(DataError) as refused:
        open_source(str(write("manifest.csv", lines)), 0)
    assert str(refused.value).partition("manifest.csv: ")[2] == (
        "line 2: there is no image 'x.png'; line 3: the split 'dev' is unknown; there is train, val, test; line 3: "
        "there is no label; line 4: '1.png' is in line 3 already; line 4: 'none' in the column 'weight' is no positive "
        "number"
    )


def test_classes_by_a_file_of_any_name(write: Write) -> None:
    lines = ["path,label,split", *(f"{i}.png,{['oak', 'fir'][i % 2]},{SPLIT[i]}" for i in range(12))]
    folder = write("photos.csv", lines)
    source = open_source(str(folder / "photos.csv"), 0)
    assert isinstance(source, Manifest)
    assert (source.task, source.classes, source.name) == ("classification", ("fir", "oak"), "images")
    assert source.read("test", RULE).labels.tolist() == [1, 0]
    assert source.read("train", RULE, np.array([2, 5])).names == ("2.png", "5.png")
    assert source.file("val", 1) == folder / "9.png"
    assert source.weights("train") is None
    with pytest.raises(DataError, match="no manifest at"):
        open_source(str(folder / "other.csv"), 0)


def test_the_spellings_of_parts_are_those_of_folders(write: Write) -> None:
    lines = ["path,a,split", "0.png,0,train", "1.png,1,valid", "2.png,2,validation", "3.png,3,val", "4.png,4,test"]
    source = open_source(str(write("manifest.csv", lines)), 0)
    assert [len(source.labels(part)) for part in PARTS] == [1, 3, 1]


def test_weights_have_a_mean_of_one_in_each_part(write: Write) -> None:
    lines = ["path,a,split,weight", *(f"{i}.png,{i},{SPLIT[i]},{i + 1}" for i in range(12))]
    source = open_source(str(write("manifest.csv", lines)), 0)
    weights = {part: source.weights(part) for part in PARTS}
    assert weights["train"] == pytest.approx(np.arange(1, 9) / 4.5)
    assert weights["test"] == pytest.approx(np.array([11 / 11.5, 12 / 11.5]))


def test_weights_multiply_the_loss_of_each_training_image(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(run: str, weight: Callable[[int], float]) -> dict[str, torch.Tensor]:
        lines = ["path,label,weight", *(f"{i}.png,{'oak' if i % 2 else 'fir'},{weight(i)}" for i in range(30))]
        monkeypatch.chdir(write("manifest.csv", lines, 30))
        options = ["--trainer.max_steps=6", "--trainer.val_check_interval=6", "--data.batch_size=16"]
        assert main(["fit", "--config=digits-cnn", "--data.path=manifest.csv", f"--run={run}", *options]) == 0
        state: dict[str, torch.Tensor] = torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        return state

    one, five, uneven = fitted("one", lambda i: 1), fitted("five", lambda i: 5), fitted("uneven", lambda i: 1 + i % 2)
    assert all(torch.equal(tensor, five[name]) for name, tensor in one.items())
    assert not all(torch.equal(tensor, uneven[name]) for name, tensor in one.items())


def test_images_with_weights_are_not_blended(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["path,label,weight", *(f"{i}.png,{'oak' if i % 2 else 'fir'},{i + 1}" for i in range(12))]
    monkeypatch.chdir(write("manifest.csv", lines))
    assert main(["fit", "--config=digits-cnn", "--data.path=manifest.csv", "--run=run", "--model.mixup=0.2"]) == 2
    assert "a blend of two images has no weight: leave out mixup and cutmix, or the weights" in capsys.readouterr().err


def test_a_group_is_in_one_part(write: Write) -> None:
    people = [f"person {i // 4}" if i < 80 else "" for i in range(100)]
    lines = ["path,label,group", *(f"{i}.png,{['oak', 'fir'][i // 4 % 2]},{people[i]}" for i in range(100))]
    folder = write("manifest.csv", lines, 100)
    for seed in range(3):
        source = open_source(str(folder), seed)
        names = {part: source.contents(part).names for part in PARTS}
        assert [len(names[part]) for part in PARTS] == [64, 16, 20]
        groups = {part: {people[int(name.removesuffix(".png"))] for name in names[part]} - {""} for part in PARTS}
        assert sum(len(groups[part]) for part in PARTS) == len(set(people) - {""})


def test_a_subset_may_cut_a_group_but_never_across_parts(write: Write) -> None:
    """`images` is the number of images that are labelled; which part a group is in does not depend on it."""
    lines = ["path,a,group", *(f"{i}.png,{i},g{i // 10}" for i in range(100))]
    source = open_source(str(write("manifest.csv", lines, 100)), 0)
    for images in (10, 40):
        chosen = Selection("", 0, images).chosen(source)
        assert len(chosen["train"]) + len(chosen["val"]) == images
        train, val = (
            {int(name.removesuffix(".png")) // 10 for name in source.contents(part).take(chosen[part]).names}
            for part in ("train", "val")
        )
        assert not train & val


PARQUET = {
    "classes": {"path": pa.array([f"{i}.png" for i in range(12)]), "label": pa.array(["oak", "fir", "oak"] * 4)},
    "numbered classes": {
        "path": pa.array([f"{i}.png" for i in range(12)]).dictionary_encode(),
        "label": pa.array([7, 3, 7] * 4),
    },
}


@pytest.mark.parametrize(("columns", "classes"), [*zip(PARQUET.values(), [("fir", "oak"), ("3", "7")], strict=True)])
def test_parquet_holds_the_same_columns(columns: dict[str, pa.Array], classes: tuple[str, ...], write: Write) -> None:
    folder = write("unused.txt", [])
    index = pa.array(range(12))
    parquet.write_table(pa.table({**columns, "__index_level_0__": index}), folder / "manifest.parquet")
    source = open_source(str(folder), 0)
    assert (source.task, source.classes) == ("classification", classes)
    number = [int(name.removesuffix(".png")) for name in source.contents("train").names]
    assert source.labels("train").tolist() == [[1, 0, 1][i % 3] for i in number]


def test_parquet_is_equal_to_csv(write: Write) -> None:
    rows = [(f"{i}.png", ["oak", "fir"] if i % 3 else [], SPLIT[i], i + 0.5, f"g{i}") for i in range(12)]
    names = ["path", "labels", "split", "weight", "group"]
    lines = [",".join(names), *(f"{path},{';'.join(labels)},{s},{w},{g}" for path, labels, s, w, g in rows)]
    folder = write("rows.csv", lines)
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    parquet.write_table(table, folder / "rows.parquet")
    one, two = (open_source(str(folder / name), 0) for name in ("rows.csv", "rows.parquet"))
    for part in PARTS:
        assert np.array_equal(one.read(part, RULE).labels, two.read(part, RULE).labels)
        np.testing.assert_array_equal(one.weights(part), two.weights(part))
        contents = [source.contents(part) for source in (one, two)]
        assert contents[0].names == contents[1].names
        assert np.array_equal(contents[0].targets, contents[1].targets)


def test_faults_of_parquet_are_named_by_their_rows(write: Write) -> None:
    folder = write("unused.txt", [])
    table = pa.table({"path": ["1.png", "x.png", None], "size": [1.0, None, 3.0]})
    parquet.write_table(table, folder / "manifest.parquet")
    with pytest.raises(DataError) as refused:
        open_source(str(folder), 0)
    assert str(refused.value).partition("manifest.parquet: ")[2] == (
        "row 2: '' in the column 'size' is no number; row 3: there is no image ''"
    )
    (folder / "manifest.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"manifest\.parquet is no Parquet file, or is damaged"):
        open_source(str(folder), 0)


def test_parquet_without_pyarrow_names_the_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write("manifest.parquet", [])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'needs pyarrow: pip install "vitrail\[data\]"'):
        open_source(str(folder), 0)


def test_names_in_any_script_and_a_byte_order_mark(write: Write) -> None:
    folder = write("unused.txt", [])
    names = ["叶/橡树 1.png", "лист.png", "ورقة.png", "葉,\n.png", "🍂.png", "é.png"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name)
    rows = [f'"{name}",{["дуб", "سنديان"][i % 2]}' for i, name in enumerate(names)]
    (folder / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["path,label", *rows]).encode())
    source = open_source(str(folder), 0)
    assert source.classes == ("дуб", "سنديان")
    assert {name for part in PARTS for name in source.read(part, RULE).names} == set(names)


@pytest.mark.parametrize("content", ["path,label\n1.png,é\n".encode("latin-1"), "path,label\n".encode("utf-16")])
def test_another_encoding_is_refused(content: bytes, write: Write) -> None:
    folder = write("manifest.csv", [])
    (folder / "manifest.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.csv is not in UTF-8 \(.*\): save it as CSV in UTF-8"):
        open_source(str(folder), 0)


@pytest.mark.parametrize("content", [b"", b"\n", b"path,label\n"])
def test_an_empty_file_is_refused(content: bytes, write: Write) -> None:
    folder = write("manifest.csv", [])
    (folder / "manifest.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"has no images in it|has no column 'path'"):
        open_source(str(folder), 0)
