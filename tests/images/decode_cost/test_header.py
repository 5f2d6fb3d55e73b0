"""The cost rule: memory is reserved as it is measured, and slow images are known as costly."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vitrail.bench.serve import bombs
from vitrail.errors import CorruptImage
from vitrail.images.canvas import InputRule
from vitrail.images.decode import open_image, read_header
from vitrail.images.decode_cost import Header

from .files import RULE, SIDE, bmp, deep_png, encoded, jpeg, rotated_exif, waves
from .memory import linux, measured_peaks

MAX_RATIO = 1.6  # reserved over held, for images that hold ten megabytes or more

FEW: dict[str, Callable[[], bytes]] = {
    "jpeg progressive": partial(encoded, "RGB", "JPEG", progressive=True, subsampling=0),
    "png rgb": partial(encoded, "RGB", "PNG", compress_level=1),
    "png rgba": partial(encoded, "RGBA", "PNG", compress_level=1),
    "gif": partial(encoded, "P", "GIF"),
    "webp lossless": partial(encoded, "RGB", "WEBP", lossless=True, quality=0, method=0),
}
MANY: dict[str, Callable[[], bytes]] = {
    **FEW,
    "jpeg": partial(encoded, "RGB", "JPEG"),
    "jpeg wide": partial(encoded, "RGB", "JPEG", (30_000, 300)),
    "jpeg high": partial(encoded, "L", "JPEG", (300, 30_000)),
    "jpeg grey progressive": partial(encoded, "L", "JPEG", progressive=True),
    "jpeg subsampled progressive": partial(encoded, "RGB", "JPEG", progressive=True, subsampling=2),
    "jpeg cmyk": partial(encoded, "CMYK", "JPEG"),
    "jpeg cmyk progressive": partial(encoded, "CMYK", "JPEG", progressive=True),
    "jpeg rotated": partial(encoded, "RGB", "JPEG", exif=rotated_exif()),
    **{f"png {mode}": partial(encoded, mode, "PNG", compress_level=1) for mode in ("1", "L", "P", "LA", "I;16")},
    "png palette transparent": partial(encoded, "P", "PNG", transparency=3),
    "png grey transparent": partial(encoded, "L", "PNG", transparency=3),
    "png rgb transparent": partial(encoded, "RGB", "PNG", transparency=(1, 2, 3)),
    "png rgb rotated": partial(encoded, "RGB", "PNG", exif=rotated_exif()),
    "png rgba rotated": partial(encoded, "RGBA", "PNG", exif=rotated_exif()),
    **{
        f"png 16 {colours} {i}": partial(deep_png, colours, n, i)
        for colours, n in ((0, 1), (2, 3), (6, 4))
        for i in (0, 1)
    },
    "webp": partial(encoded, "RGB", "WEBP", method=0),
    "webp alpha": partial(encoded, "RGBA", "WEBP", method=0),
    "webp alpha lossless": partial(encoded, "RGBA", "WEBP", lossless=True, quality=0, method=0),
    "webp animated": partial(encoded, "RGB", "WEBP", method=0, save_all=True, append_images=[waves("L")]),
    "webp lossless effort": partial(encoded, "RGB", "WEBP", lossless=True, quality=75, method=4),
    "webp lossless palette": partial(encoded, "P", "WEBP", lossless=True, quality=75, method=4),
    "webp rotated": partial(encoded, "RGBA", "WEBP", method=0, exif=rotated_exif()),
    "gif transparent": partial(encoded, "P", "GIF", transparency=3),
    "gif animated": partial(encoded, "P", "GIF", save_all=True, append_images=[waves("P").rotate(90)], disposal=2),
    **{f"bmp {mode}": partial(encoded, mode, "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")},
    "bmp 4": lambda: bmp(4, 0, bytes((SIDE * 4 + 31) // 32 * 4 * SIDE), SIDE, SIDE),
    "bmp 16": lambda: bmp(16, 0, bytes(SIDE * 2 * SIDE), SIDE, SIDE),
    "bmp run lengths": lambda: bmp(8, 1, (b"\xff\1" * 3 + b"\xeb\2\0\0") * 1000 + b"\0\1", 1000, 1000),
}


def assert_reserved(files: dict[str, bytes], resize: Any, folder: Path) -> None:
    for name, peak in measured_peaks(files, resize, folder).items():
        reserved = read_header(files[name]).peak(InputRule(64, resize))
        assert peak <= reserved, f"{name}: {peak:,} bytes are held, {reserved:,} reserved"
        assert reserved <= MAX_RATIO * max(peak, 10e6), f"{name}: {peak:,} bytes are held, {reserved:,} reserved"


@linux
def test_reserved_memory_is_the_measured_peak(tmp_path: Path) -> None:
    assert_reserved({name: make() for name, make in FEW.items()}, "squash", tmp_path)


@linux
@pytest.mark.long
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_reserved_memory_is_the_measured_peak_of_every_format(resize: str, tmp_path: Path) -> None:
    assert_reserved({name: make() for name, make in MANY.items()}, resize, tmp_path)


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in sorted(MANY)]
)
def test_header_has_the_size_of_the_decoder(name: str) -> None:
    data = MANY[name]()
    header = read_header(data)
    assert open_image(data, header).size == header.size
    assert header.parts <= 300


# The largest image, in megapixels up to 50, that the default 320 MB allow; docs/http.md has the same table.
LARGEST = {
    "JPEG": (Header("JPEG", (1, 1), "RGB"), 50),
    "GIF, and PNG or BMP of grey or a palette": (Header("PNG", (1, 1), "P"), 50),
    "PNG RGB": (Header("PNG", (1, 1), "RGB"), 50),
    "PNG with transparency": (Header("PNG", (1, 1), "RGBA"), 38),
    "WebP": (Header("WEBP", (1, 1), "WEBP"), 19),
}


def test_docs_state_the_largest_images_of_the_default_budget() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
    for name, (header, megapixels) in LARGEST.items():
        side = 0
        while side < 7071 and Header(header.kind, (side + 1, side + 1), header.mode).peak(InputRule(224)) <= 320e6:
            side += 1
        assert (int(side**2 / 1e6) if side < 7071 else 50) == megapixels, name
        assert f"| {name} | {megapixels} MP |" in docs


def test_slow_images_are_costly() -> None:
    """JPEGs with many scans, and large images of formats that are decoded in full; not a JPEG photo of a phone."""

    def sized(data: bytes, side: int) -> Header:
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        return read_header(data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :])

    assert not sized(jpeg(), 3500).is_costly(RULE)
    assert not sized(jpeg(progressive=True), 2000).is_costly(RULE)
    assert sized(jpeg(progressive=True), 7071).is_costly(RULE)
    assert sized(bombs.many_scans(8, 99), 3100).is_costly(RULE)
    assert not read_header(bombs.deep_png(1000)).is_costly(RULE)
    assert read_header(bombs.deep_png(4000)).is_costly(RULE)


def test_header_whose_size_differs_from_the_decoders_is_corrupt() -> None:
    data = encoded("RGB", "PNG", (8, 8))
    wrong = Header("PNG", (9, 9), "RGB")
    with pytest.raises(CorruptImage):
        open_image(data, wrong)
