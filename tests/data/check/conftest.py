"""A small set with one of every fault."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vitrail.data.check.check import check
from vitrail.data.check.findings import Finding


def photo(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A smooth image that no other seed resembles."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def plain_set(root: Path) -> None:
    """Cats and dogs in three parts, 12, 2 and 2 of each."""
    seed = 0
    for part, count in (("train", 12), ("val", 2), ("test", 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                photo(seed).save(root / part / name / f"{number:02d}.jpg", quality=90)
                seed += 1


def messy_set(root: Path) -> None:
    plain_set(root)
    cat, dog = root / "train/cat", root / "train/dog"
    (root / "train/bird").mkdir()
    shutil.copy(cat / "00.jpg", root / "test/cat/leak.jpg")
    shutil.copy(cat / "01.jpg", dog / "other label.jpg")
    ImageOps.mirror(Image.open(cat / "02.jpg")).save(root / "val/cat/mirrored.png")
    (cat / "empty.jpg").write_bytes(b"")
    (cat / "cut.jpg").write_bytes((cat / "03.jpg").read_bytes()[:700])
    (cat / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (dog / "photo.HEIC").write_bytes(b"")
    (dog / "scan.tif").write_bytes(b"")
    Image.new("RGB", (96, 64), "white").save(dog / "blank.png")
    Image.new("CMYK", (96, 64)).save(dog / "print.jpg")
    photo(97).convert("L").convert("RGBA").save(dog / "ねこ\n.png")
    photo(98, (8, 5)).save(dog / "icon.png")
    photo(99, (400, 40)).save(dog / "wide.jpg", "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo(96).save(dog / "turned.jpg", exif=turned)
    photo(94).save(dog / "moving.gif", save_all=True, append_images=[photo(95)])
    os.symlink("loop.jpg", dog / "loop.jpg")
    os.symlink("..", dog / "up")
    os.symlink("/proc/self/mem", dog / "unreadable.jpg")  # for any user, root too
    photo(93).save(root / "beside.png")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def messy(tmp_path: Path, cache: None) -> Path:
    messy_set(tmp_path / "messy")
    return tmp_path / "messy"


@pytest.fixture
def plain(tmp_path: Path, cache: None) -> Path:
    plain_set(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def found() -> Callable[[Path], dict[str, list[Finding]]]:
    """The findings of a set by kind."""

    def by_kind(path: Path) -> dict[str, list[Finding]]:
        kinds: dict[str, list[Finding]] = {}
        for one in check(str(path), 0, lambda done, count: None).report.findings:
            kinds.setdefault(one.kind, []).append(one)
        return kinds

    return by_kind
