"""WebDataset shards: samples at their places, parts, labels, and archives that are cut short."""

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data import Part, Shards, open_source, shard_index
from vitrail.data.shards import expanded
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule

RULE = InputRule(6)
Members = Sequence[tuple[str, bytes]]


def jpeg(level: int, side: int = 6) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (level, level, level)).save(file, "JPEG")
    return file.getvalue()


def sample(number: int, label: str) -> Members:
    return [(f"{number:04}.cls", label.encode()), (f"{number:04}.jpg", jpeg(number * 8))]


def write(shard: Path, members: Members) -> Path:
    shard.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(shard, "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return shard


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/vitrail"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, start, count in (("train", 0, 2), ("val", 20, 1), ("test", 25, 1)):
        for number in range(count):
            first = start + 5 * number
            members = [member for i in range(first, first + 5) for member in sample(i, "fir" if i % 2 else "oak")]
            write(tmp_path / f"shards/{part}-{number:06}.tar", members)
    return tmp_path / "shards"


def test_every_image_is_read_at_its_place(folder: Path) -> None:
    source = open_source(str(folder), 0)
    assert isinstance(source, Shards)
    assert source.name == "shards"
    assert source.classes == ("fir", "oak")
    numbers_of: dict[Part, range] = {"train": range(10), "val": range(20, 25), "test": range(25, 30)}
    for part, numbers in numbers_of.items():
        samples = source.read(part, RULE)
        assert samples.images[:, 3, 3, 0].tolist() == pytest.approx([8 * i for i in numbers], abs=1)
        assert samples.labels.tolist() == source.labels(part).tolist() == [1 - i % 2 for i in numbers]
    assert source.contents("train").names[7] == "train-000001.tar/0007"
    assert source.read("train", RULE, np.array([7])).names == ("train-000001.tar/0007",)
    assert source.whole("test", 2)[0, 0, 0] == pytest.approx(8 * 27, abs=1)
    assert source.file("test", 2) is None


def test_patterns_choose_shards(folder: Path) -> None:
    source = open_source(f"{folder}/{{train,test}}-{{000000..000000}}.tar", 0)
    assert [len(source.labels(part)) for part in ("train", "val", "test")] == [3, 2, 5]
    assert expanded("a{1,2}/{08..10}.tar") == [f"a{i}/{j}.tar" for i in "12" for j in ("08", "09", "10")]
    with pytest.raises(DataError, match="no shards at"):
        open_source(f"{folder}/none-*.tar", 0)


def test_shards_of_no_part_are_split_by_the_seed(tmp_path: Path) -> None:
    write(tmp_path / "one.tar", [member for i in range(30) for member in sample(i, str(i % 2 + 9))])
    source = open_source(str(tmp_path / "one.tar"), 0)
    assert source.classes == ("9", "10")
    assert [len(source.labels(part)) for part in ("train", "val", "test")] == [20, 4, 6]
    names = [name for part in ("train", "val", "test") for name in source.contents(part).names]
    assert len(set(names)) == 30


def test_numbers_are_lines_of_classes_txt(folder: Path) -> None:
    members = [member for i in range(8) for member in sample(i, str(i % 2))]
    for part in ("train", "val", "test"):
        for old in folder.glob(f"{part}*"):
            old.unlink()
        write(folder / f"{part}.tar", members)
    (folder / "classes.txt").write_text("fern\nmoss\n")
    assert open_source(str(folder), 0).classes == ("fern", "moss")
    (folder / "classes.txt").write_text("fern\n")
    with pytest.raises(DataError, match="does not name the class of these labels: 1"):
        open_source(str(folder), 0)
    (folder / "classes.txt").write_bytes(b"foug\xe8re\nmousse\n")
    with pytest.raises(DataError, match=r"classes\.txt cannot be read as text in UTF-8"):
        open_source(str(folder), 0)


def test_labels_may_be_in_json_beside_other_members(tmp_path: Path) -> None:
    members = [
        (f"./a/{i}.{extension}", content)
        for i in range(10)
        for extension, content in (
            ("txt", b"a caption"),
            ("JPG", jpeg(i)),
            ("json", json.dumps({"caption": "-", "label": f"class {i % 2}"}).encode()),
            ("seg.png", b"a map"),
        )
    ]
    source = open_source(str(write(tmp_path / "a.tar", [("__meta.json", b"{}"), *members])), 0)
    assert source.classes == ("class 0", "class 1")
    assert sum(len(source.labels(part)) for part in ("train", "val", "test")) == 10


def test_a_shard_cut_short_names_its_last_whole_sample(tmp_path: Path) -> None:
    shard = write(tmp_path / "cut.tar", [member for i in range(5) for member in sample(i, str(i % 2))])
    whole = shard.read_bytes()
    with tarfile.open(shard) as archive:
        image, label = archive.getmember("0003.jpg"), archive.getmember("0004.cls")
    for length in (image.offset_data + 100, image.offset_data, image.offset + 100, image.offset, label.offset_data):
        shard.write_bytes(whole[:length])
        last = "0003" if length == label.offset_data else "0002"
        with pytest.raises(DataError, match=rf"cut\.tar is cut short.* the last '{last}'"):
            open_source(str(shard), 0)
    shard.write_bytes(whole[: label.offset])  # between two samples: the zeros at the end are missing
    with pytest.raises(DataError, match=r"its end is missing.* 4 are whole, the last '0003'"):
        open_source(str(shard), 0)
    shard.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="no sample of it is whole"):
        open_source(str(shard), 0)


def test_samples_without_image_or_label_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [*sample(0, "0"), ("0001.jpg", jpeg(0)), ("0002.cls", b"1")])
    with pytest.raises(DataError, match=r"'0001' has no label .*; '0002' has no image"):
        open_source(str(tmp_path / "a.tar"), 0)


def test_damaged_images_are_named_all(tmp_path: Path) -> None:
    members = [member for i in range(12) for member in sample(i, str(i % 2))]
    members[5] = members[5][0], b"\xff\xd8\xff no image"
    source = open_source(str(write(tmp_path / "train.tar", members)), 0)
    with pytest.raises(DamagedImages, match=r"train\.tar/0002"):
        [source.read(part, RULE) for part in ("train", "val", "test")]


def test_an_index_is_read_once_and_again_after_a_change(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    indexed = shard_index.indexed

    def counting(shard: Path) -> shard_index.ShardIndex:
        read.append(shard)
        return indexed(shard)

    monkeypatch.setattr(shard_index, "indexed", counting)
    monkeypatch.setattr(shard_index, "TICK", -(10**18))  # as if the shards had not changed for long
    first = open_source(str(folder), 0)
    assert len(read) == 4
    again = open_source(str(folder), 0)
    assert len(read) == 4
    assert again.fingerprint == first.fingerprint
    assert len(list((cache / "shard-digests").iterdir())) == 4
    write(folder / "val-000000.tar", [member for i in range(4) for member in sample(i, "oak" if i % 2 else "fir")])
    changed = open_source(str(folder), 0)
    assert read[4:] == [folder / "val-000000.tar"]
    assert changed.fingerprint != first.fingerprint
    assert len(changed.labels("val")) == 4
    for file in (cache / "shards").iterdir():
        file.write_bytes(b"damaged")
    assert open_source(str(folder), 0).fingerprint == changed.fingerprint


def test_a_shard_that_is_cut_later_gives_no_image(folder: Path) -> None:
    source = open_source(str(folder), 0)
    os.truncate(folder / "test-000000.tar", 1_000)
    with pytest.raises(DamagedImages, match="the shard ends in the middle"):
        source.read("test", RULE)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["train-0.tar", "other.tar"], "other.tar begins with none of"),
        (["val-0.tar"], "none for training"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, names: list[str], why: str) -> None:
    for name in names:
        write(tmp_path / "shards" / name, sample(0, "0"))
    with pytest.raises(DataError, match=why):
        open_source(str(tmp_path / "shards"), 0)


def test_a_folder_of_classes_with_an_archive_is_no_set_of_shards(tmp_path: Path) -> None:
    write(tmp_path / "set.tar", sample(0, "0"))
    for name in ("oak", "fir"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.jpg").write_bytes(jpeg(number))
    assert open_source(str(tmp_path), 0).classes == ("fir", "oak")
