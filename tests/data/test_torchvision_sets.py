"""torchvision's sets: labels, parts and pixels as torchvision gives them, and nothing downloaded unasked."""

import gzip
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image

from vitrail.data import open_source
from vitrail.data.idx import Idx
from vitrail.data.torchvision_sets import options_of
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule, to_canvas

RULE = InputRule(8)
FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_fake_data_is_read_as_torchvision_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = partial(torchvision.datasets.FakeData, size=60, image_size=(3, 8, 8), num_classes=3)
    monkeypatch.setattr(torchvision.datasets, "FakeData", fake)
    source = open_source(f"torchvision:FakeData@{tmp_path}", 0)
    assert source.classes == ("0", "1", "2")
    there = {np.asarray(image).tobytes(): label for image, label in (fake()[i] for i in range(60))}
    here: dict[bytes, int] = {}
    for part in ("train", "val", "test"):
        samples = source.read(part, RULE)
        here |= {image.tobytes(): label for image, label in zip(samples.images, samples.labels, strict=True)}
    assert here == there
    assert len(np.unique(source.contents("train").images)) == len(source.labels("train"))
    image = source.whole("test", 1)
    assert np.array_equal(image, source.read("test", RULE, np.array([1])).images[0])


class Photos:
    """Like Flowers102 and others: splits by name, files that a loader opens."""

    classes = ("never", "oak", "fir")

    def __init__(self, root: str, split: str = "train", download: bool = False, loader: Any = None) -> None:
        assert split in ("train", "val", "test")
        if not Path(root, split).is_dir():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.files, self.loader = sorted(Path(root, split).iterdir()), loader

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.loader(self.files[row]), 1 + row % 2


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of the three splits, each stored on its side."""
    monkeypatch.setattr(torchvision.datasets, "Flowers102", Photos)
    exif = Image.Exif()
    exif[0x0112] = 6
    for part in ("train", "val", "test"):
        (tmp_path / part).mkdir()
        for number in range(6):
            pixels = np.zeros((4, 6, 3), np.uint8)
            pixels[:2] = 40 * number + 20
            Image.fromarray(pixels).save(tmp_path / part / f"{number}.png", exif=exif)
    return tmp_path


def test_files_are_decoded_upright_and_their_splits_are_the_parts(photos: Path) -> None:
    source = open_source(f"torchvision:Flowers102@{photos}", 0)
    assert source.classes == ("oak", "fir")
    for part in ("train", "val", "test"):
        assert source.labels(part).tolist() == [0, 1] * 3
    image = source.whole("val", 2)
    assert image.shape == (6, 4, 3)
    assert (image[:, 2:] == 100).all()
    canvas = source.read("val", RULE, np.array([2])).images[0]
    assert np.array_equal(canvas, to_canvas(Image.fromarray(image), RULE))


def test_damaged_files_are_all_named(photos: Path) -> None:
    for number in (1, 4):
        (photos / f"val/{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DamagedImages, match=r"2 image\(s\) .* val 1: .* val 4: "):
        open_source(f"torchvision:Flowers102@{photos}", 0).read("val", RULE)


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(root: str, train: bool = True, download: bool = False) -> None:
        asked.append(download)
        raise RuntimeError("Dataset not found. You can use download=True to download it")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", opened)
    with pytest.raises(DataError, match=r"not found\.; --data\.path torchvision-download:CIFAR10@.* downloads it"):
        open_source(f"torchvision:CIFAR10@{tmp_path}", 0)
    with pytest.raises(DataError, match=r"not found\.$"):
        open_source(f"torchvision-download:CIFAR10@{tmp_path}", 0)
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("CIFAR100", [{"train": True}, {"train": False}]),
        ("KMNIST", [{"train": True}, {"train": False}]),
        ("EMNIST-letters", [{"train": True, "split": "letters"}, {"train": False, "split": "letters"}]),
        ("SVHN", [{"split": "train"}, {"split": "test"}]),
        ("Food101", [{"split": "train"}, {"split": "test"}]),
        ("OxfordIIITPet", [{"split": "trainval"}, {"split": "test"}]),
        ("Flowers102", [{"split": "train"}, {"split": "val"}, {"split": "test"}]),
        ("Country211", [{"split": "train"}, {"split": "valid"}, {"split": "test"}]),
        ("EuroSAT", [{}]),
    ],
)
def test_each_set_has_its_own_spelling_of_splits(name: str, splits: list[dict[str, Any]], tmp_path: Path) -> None:
    kind = getattr(torchvision.datasets, name.partition("-")[0])
    assert list(options_of(name, kind).values()) == splits
    with pytest.raises(DataError, match=f"cannot open {name} in"):  # options that torchvision knows: only files miss
        open_source(f"torchvision:{name}@{tmp_path}", 0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Nothing", "no set called Nothing"),
        ("vision", "no set called vision"),
        ("CocoDetection", "cannot open CocoDetection"),
        ("CIFAR10-letters", "CIFAR10 has no subset letters"),
    ],
)
def test_unknown_names(name: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        open_source(f"torchvision:{name}", 0)


@pytest.mark.long
@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_that_of_its_idx_files(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    for file in FASHION.iterdir():
        with gzip.open(file) as packed, (raw / file.stem).open("wb") as out:
            shutil.copyfileobj(packed, out)
    source, other = open_source(f"torchvision:FashionMNIST@{tmp_path}", 3), Idx(FASHION, 3)
    assert source.classes[9] == "Ankle boot"
    some = np.arange(0, 10_000, 500)
    for part in ("train", "val", "test"):
        here, there = source.read(part, RULE, some), other.read(part, RULE, some)
        assert np.array_equal(source.labels(part), other.labels(part))
        assert np.array_equal(here.images, there.images)
