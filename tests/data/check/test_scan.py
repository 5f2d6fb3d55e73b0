"""What one image is found to be, from its file."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data.check import readers
from vitrail.data.check.listing import Item, list_set
from vitrail.data.check.scan import SIDE, Facts, Fault, look_at, look_at_all, scan

from .conftest import photo


def outcome(file: Path) -> tuple[Facts | Fault, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    outcomes, thumbnails = scan([Item(file.name, "train", 0, 0, file)], None, lambda done, count: None)
    return outcomes[0], thumbnails[0]


def test_the_facts_of_a_turned_image_are_those_of_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(0).save(tmp_path / "a.jpg", exif=exif)
    facts, thumbnail = outcome(tmp_path / "a.jpg")
    assert facts == Facts((64, 96), "JPEG", "RGB", is_turned=True)
    upright = np.asarray(photo(0).transpose(Image.Transpose.ROTATE_270).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert np.abs(thumbnail.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("a.png", "L", Facts((96, 64), "PNG", "L")),
        ("a.png", "I;16", Facts((96, 64), "PNG", "I;16")),
        ("a.png", "RGBA", Facts((96, 64), "PNG", "RGBA", has_transparency=True)),
        ("a.png", "P", Facts((96, 64), "PNG", "P")),
        ("a.jpg", "CMYK", Facts((96, 64), "JPEG", "CMYK")),
        ("a.bmp", "RGB", Facts((96, 64), "BMP", "RGB")),
        ("a.webp", "RGB", Facts((96, 64), "WEBP", "RGB")),
    ],
)
def test_modes_and_formats_are_those_of_the_file(name: str, mode: str, expected: Facts, tmp_path: Path) -> None:
    if mode == "I;16":
        grey = np.asarray(photo(0).convert("L")).astype(np.uint16) << 8
        Image.fromarray(grey).save(tmp_path / name)
    else:
        photo(0).convert(mode).save(tmp_path / name)
    assert outcome(tmp_path / name)[0] == expected


def test_animated_and_misnamed_images_are_told(tmp_path: Path) -> None:
    photo(0).save(tmp_path / "a.webp", save_all=True, append_images=[photo(1)])
    photo(0).save(tmp_path / "b.png", "JPEG")
    assert outcome(tmp_path / "a.webp")[0] == Facts((96, 64), "WEBP", "RGB", is_animated=True)
    assert outcome(tmp_path / "b.png")[0] == Facts((96, 64), "JPEG", "RGB", is_misnamed=True)


def test_a_large_photo_is_decoded_at_a_smaller_scale_but_to_its_end(tmp_path: Path) -> None:
    file = io.BytesIO()
    photo(0, (1920, 1280)).save(file, "JPEG", quality=95)
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    (tmp_path / "cut.jpg").write_bytes(file.getvalue()[: int(0.9 * len(file.getvalue()))])
    facts, thumbnail = outcome(tmp_path / "a.jpg")
    assert facts == Facts((1920, 1280), "JPEG", "RGB")
    whole = np.asarray(photo(0, (1920, 1280)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert np.abs(thumbnail.astype(int) - whole).max() <= 12
    assert outcome(tmp_path / "cut.jpg")[0] == Fault("the JPEG image is damaged and does not decode")


def test_an_image_of_200_megapixels_is_refused_by_its_header(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + b"\0\0\0\0"
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + b"\0" * 8)
    fault, thumbnail = outcome(tmp_path / "a.png")
    assert isinstance(fault, Fault)
    assert not fault.is_unreadable
    assert not thumbnail.any()


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"\0\0\0\x18ftypavif", "AVIF"), (b"II*\0\x08\0\0\0", "TIFF"), (b"\xff\x0a\0\0", "JPEG XL")],
)
def test_other_formats_under_a_known_name_are_told(data: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    fault = outcome(tmp_path / "a.jpg")[0]
    assert isinstance(fault, Fault)
    assert fault.reason.startswith(f"{name} inside, in spite of its name: `magick")


def test_a_file_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    fault = look_at(Item("a", "train", 0, 0, tmp_path / "a.jpg"), None, np.zeros((SIDE, SIDE, 3), np.uint8))
    assert fault == Fault("cannot be read: No such file or directory", is_unreadable=True)


def test_processes_see_what_threads_see(messy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = list_set(str(messy), 0)
    seen: list[tuple[int, int]] = []
    outcomes, thumbnails = scan(listing.items, None, lambda done, count: seen.append((done, count)))
    monkeypatch.setattr(readers, "MANY", 1)
    again, shown = scan(listing.items, None, lambda done, count: None)
    assert again == outcomes
    assert np.array_equal(shown, thumbnails)
    assert sum(isinstance(outcome, Fault) for outcome in outcomes) == 4
    assert seen == [(len(outcomes), len(outcomes))]


def test_costly_images_are_decoded_by_the_parent(tmp_path: Path) -> None:
    Image.new("RGB", (3500, 3500), "blue").save(tmp_path / "a.png", compress_level=1)
    item = Item("a.png", "train", 0, 0, tmp_path / "a.png")
    assert look_at_all(None, [item])[0] == [None]
    assert outcome(tmp_path / "a.png")[0] == Facts((3500, 3500), "PNG", "RGB")
    assert outcome(tmp_path / "a.png")[1].any()
