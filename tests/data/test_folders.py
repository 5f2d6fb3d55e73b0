"""Class folders: the layouts that are read, and the errors for unusable ones."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data import Folders
from vitrail.data.source import PARTS
from vitrail.errors import DataError, ImageError
from vitrail.images.canvas import InputRule

RULE = InputRule(8)
FASHION = Path("/usr/share/datasets/fashion-mnist")
Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Write `count` images of one colour into a folder below the root."""

    def write(folder: str, count: int, colour: str = "red") -> Path:
        target = tmp_path / "images" / folder
        target.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (10 + number, 12), colour).save(target / f"{number}.png")
        return tmp_path / "images"

    return write


def counts(source: Folders) -> list[int]:
    return [len(source.labels(part)) for part in PARTS]


@pytest.mark.parametrize("val", ["val", "validation", "valid"])
def test_folders_of_parts_are_kept_as_parts(fill: Fill, val: str) -> None:
    for part, count in (("train", 3), (val, 2), ("test", 1)):
        fill(f"{part}/cat", count)
        root = fill(f"{part}/dog", count, "blue")
    source = Folders(root)
    assert source.classes == ("cat", "dog")
    assert counts(source) == [6, 4, 2]
    images = source.read("test", RULE)
    assert images.images[0, 0, 0].tolist() == [255, 0, 0]
    assert images.images[1, 7, 7].tolist() == [0, 0, 255]
    assert images.names == ("test/cat/0.png", "test/dog/0.png")


def test_one_pile_is_split_by_the_seed(fill: Fill) -> None:
    fill("cat", 50)
    root = fill("dog", 25, "blue")
    assert counts(Folders(root)) == [48, 12, 15]
    names = [Folders(root, seed).read("test", RULE).names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    everything = [name for part in PARTS for name in Folders(root).read(part, RULE).names]
    assert len(set(everything)) == 75


@pytest.mark.parametrize(("given", "expected"), [("val", [16, 10, 4]), ("test", [16, 4, 10])])
def test_a_missing_part_is_cut_from_training(fill: Fill, given: str, expected: list[int]) -> None:
    for part in ("train", given):
        for name in ("cat", "dog"):
            root = fill(f"{part}/{name}", 10 if part == "train" else 5)
    assert counts(Folders(root)) == expected


def test_images_in_deeper_folders_and_capital_endings_count(fill: Fill) -> None:
    fill("cat/indoors", 3)
    root = fill("dog", 3)
    (root / "dog/0.png").rename(root / "dog/0.PNG")
    (root / "dog/notes.txt").write_text("no image")
    assert sum(counts(Folders(root))) == 6


def test_the_fingerprint_shows_an_edited_image(fill: Fill) -> None:
    fill("cat", 5)
    root = fill("dog", 5)
    before = Folders(root).fingerprint
    assert before == Folders(root).fingerprint
    Image.new("RGB", (300, 300)).save(root / "dog/0.png")
    assert before != Folders(root).fingerprint


def test_all_damaged_images_are_named(fill: Fill) -> None:
    for folder in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog"):
        root = fill(folder, 2)
    (root / "train/cat/bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (root / "train/dog/empty.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 image\(s\) do not decode") as fault:
        Folders(root).read("train", RULE)
    assert "cat/bad.jpg" in str(fault.value)
    assert "dog/empty.png" in str(fault.value)


def test_unknown_classes_in_another_part_are_an_error(fill: Fill) -> None:
    for folder in ("train/cat", "train/dog", "test/cat", "test/horse"):
        root = fill(folder, 4)
    with pytest.raises(DataError, match="horse"):
        Folders(root)


def test_unusable_folders_are_refused(fill: Fill, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Folders(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        Folders(tmp_path / "empty")
    root = fill("cat", 4)
    with pytest.raises(DataError, match="only one class, 'cat'"):
        Folders(root)
    (root / "dog").mkdir()
    with pytest.raises(DataError, match="no images of class 'dog'"):
        Folders(root)
    fill("dog", 2)
    with pytest.raises(DataError, match="'dog' has 2"):
        Folders(root)


def test_parts_without_images_or_without_training_are_refused(fill: Fill) -> None:
    for folder in ("train/cat", "train/dog"):
        root = fill(folder, 4)
    (root / "test/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"there are no images in the class folders of .*/test$"):
        Folders(root)
    (root / "train").rename(root / "training")
    with pytest.raises(DataError, match="has a folder 'test', but none called 'train'"):
        Folders(root)


def test_loops_of_links_and_names_in_any_script(fill: Fill) -> None:
    for folder in ("叶", "лист/осень"):
        root = fill(folder, 5)
    (root / "叶/loop").symlink_to(root)
    (root / "叶/0.png").rename(root / "叶" / os.fsdecode(b"caf\xe9.png"))
    source = Folders(root)
    assert source.classes == ("лист", "叶")
    assert sum(counts(source)) == 10
    names = {name for part in PARTS for name in source.read(part, RULE).names}
    assert {"лист/осень/0.png", os.fsdecode("叶/".encode() + b"caf\xe9.png")} <= names
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(DataError, match=r"names that are no text in UTF-8, rename: 'caf\\udce9'"):
        Folders(root)


def test_a_file_that_cannot_be_read_is_named_with_the_damaged_ones(fill: Fill) -> None:
    for folder in ("cat", "dog"):
        root = fill(folder, 5)
    source = Folders(root)
    gone, damaged = (root / source.contents("train").names[i] for i in (0, 4))
    gone.unlink()
    damaged.write_bytes(b"broken")
    with pytest.raises(DataError) as refused:
        source.read("train", RULE)
    assert "2 image(s) do not decode" in str(refused.value)
    assert f"{gone}: the file cannot be read: No such file or directory; {damaged}: " in str(refused.value)
    with pytest.raises(ImageError, match="the file cannot be read"):
        source.whole("train", 0)


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_a_real_set_as_folders_is_read_image_by_image(tmp_path: Path) -> None:
    with gzip.open(FASHION / "t10k-images-idx3-ubyte.gz") as file:
        grey = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:200]
    with gzip.open(FASHION / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:200]
    for number, (drawn, label) in enumerate(zip(grey, labels, strict=True)):
        path = tmp_path / f"{label}/{number:05d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(drawn).save(path)
    source = Folders(tmp_path)
    for part in PARTS:
        images = source.read(part, InputRule(28))
        for image, label, name in zip(images.images, images.labels, images.names, strict=True):
            number = int(Path(name).stem)
            assert np.array_equal(image, np.repeat(grey[number][..., None], 3, axis=2))
            assert label == labels[number]


def test_only_chosen_images_are_read(fill: Fill) -> None:
    for folder in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog"):
        root = fill(folder, 3)
    (root / "train/cat/0.png").write_bytes(b"broken")
    images = Folders(root).read("train", RULE, np.array([1, 5]))
    assert images.names == ("train/cat/1.png", "train/dog/2.png")
    assert images.labels.tolist() == [0, 1]


def test_a_whole_image_is_decoded_smaller_where_that_is_enough(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.full((480, 640, 3), 40 * i, np.uint8)).save(tmp_path / name / f"{i}.jpg")
    source = Folders(tmp_path)
    assert source.whole("train", 0).shape == (480, 640, 3)
    assert source.whole("train", 0, least=240).shape == (240, 320, 3)
    assert source.whole("train", 0, least=241).shape == (480, 640, 3)
    assert source.whole("train", 0, least=1000).shape == (480, 640, 3)
    assert source.file("train", 0) == tmp_path / source.contents("train").names[0]
