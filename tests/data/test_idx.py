"""IDX files: round trips, splits, and refusals with a reason."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from vitrail.data import Idx, open_source
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

RANDOM = np.random.default_rng(0)
GREY = {half: RANDOM.integers(0, 256, (count, 6, 5), dtype=np.uint8) for half, count in (("train", 40), ("t10k", 10))}
LABELS = {half: np.arange(len(grey), dtype=np.uint8) % 4 for half, grey in GREY.items()}


def idx(numbers: np.ndarray) -> bytes:
    return struct.pack(f">HBB{numbers.ndim}I", 0, 8, numbers.ndim, *numbers.shape) + numbers.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for half in GREY:
        (tmp_path / f"{half}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(GREY[half])))
        (tmp_path / f"{half}-labels-idx1-ubyte").write_bytes(idx(LABELS[half]))
    return tmp_path


def test_images_and_labels_round_trip(folder: Path) -> None:
    source = open_source(str(folder), seed=0)
    assert isinstance(source, Idx)
    assert source.classes == ("0", "1", "2", "3")
    assert source.labels("test").tolist() == LABELS["t10k"].tolist()
    assert (source.whole("test", 3) == GREY["t10k"][3][..., None]).all()
    images = source.read("test", InputRule(8, "pad"))
    assert images.images.shape == (10, 8, 8, 3)
    assert images.names[3] == "t10k 3"


def test_a_fifth_is_for_validation(folder: Path) -> None:
    source = Idx(folder, seed=1)
    names = {part: set(source.read(part, InputRule(8, "squash")).names) for part in ("train", "val")}
    assert (len(names["train"]), len(names["val"])) == (32, 8)
    assert not names["train"] & names["val"]
    assert np.bincount(source.labels("val")).tolist() == [2, 2, 2, 2]


def test_the_fingerprint_is_that_of_the_contents(folder: Path) -> None:
    before = Idx(folder).fingerprint
    assert Idx(folder, seed=5).fingerprint == before
    labels = LABELS["t10k"].copy()
    labels[0] = 3
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    assert Idx(folder).fingerprint != before


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("t10k-labels-idx1-ubyte", idx(LABELS["t10k"][:5]), "10 images and 5 labels"),
        ("t10k-labels-idx1-ubyte", idx(GREY["t10k"]), "no IDX file of 1 dimension"),
        ("t10k-labels-idx1-ubyte", idx(LABELS["t10k"])[:-1], "is damaged"),
        ("t10k-labels-idx1-ubyte", b"\0", "is damaged"),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(GREY["train"]), mtime=0)[:-20], "is damaged"),
        ("train-images-idx3-ubyte.gz", b"not packed", "is damaged"),
    ],
    ids=["fewer labels", "other dimensions", "cut", "a byte", "cut archive", "no archive"],
)
def test_damage_is_named(folder: Path, name: str, content: bytes, why: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=why):
        Idx(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="neither t10k-labels-idx1-ubyte nor"):
        Idx(folder)


FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_as_debian_ships_it() -> None:
    source = open_source(str(FASHION), seed=0)
    assert [len(source.labels(part)) for part in ("train", "val", "test")] == [48_000, 12_000, 10_000]
    assert source.classes == tuple("0123456789")
