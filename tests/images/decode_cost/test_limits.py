"""Files that would take long to decode for their size are refused before Pillow opens them."""

import struct
import zlib
from collections.abc import Callable
from functools import partial

import pytest
from PIL import Image

from vitrail.errors import ImageTooLarge
from vitrail.images.decode import fit
from vitrail.images.decode_cost.bmp import MAX_RUN_LENGTH
from vitrail.images.decode_cost.jpeg import MAX_EXIF_SEGMENTS
from vitrail.images.decode_cost.parts import MAX_PARTS
from vitrail.images.decode_cost.png import MAX_COMPRESSED

from .files import (
    RULE,
    after_start,
    between_scans,
    bmp,
    chunk,
    exif_of,
    gif,
    jpeg,
    png,
    segment,
    webp,
    with_scans,
)

BOMB = zlib.compress(bytes(1_000_000), 9)
MANY_PARTS = MAX_PARTS + 1
OVER_A_LIMIT: dict[str, Callable[[], bytes]] = {
    "jpeg comments": lambda: after_start(jpeg(), b"\xff\xfe\0\2" * MANY_PARTS),
    "jpeg junk": lambda: after_start(jpeg(), b"\xff\xfe\0\2" + bytes(16 * MANY_PARTS)),
    "jpeg fill": lambda: after_start(jpeg(), b"\xff" * 16 * MANY_PARTS),
    "jpeg escapes": lambda: after_start(jpeg(), b"\xff\xfe\0\2" + b"\xff\0" * 8 * MANY_PARTS),
    "jpeg resources": lambda: after_start(
        jpeg(), segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * (MANY_PARTS // 2)) * 2
    ),
    "jpeg tables": lambda: after_start(jpeg(), segment(0xDB, (b"\0" + b"\1" * 64) * 900) * 6),
    "jpeg exif segments": lambda: after_start(jpeg(), segment(0xE1, b"Exif\0\0MM") * (MAX_EXIF_SEGMENTS + 1)),
    "jpeg exif entries": lambda: after_start(jpeg(), segment(0xE1, b"Exif\0\0" + exif_of(MANY_PARTS))),
    "jpeg comments between scans": lambda: between_scans(b"\xff\xfe\0\2" * MANY_PARTS),
    "jpeg components twice": partial(with_scans, 4),
    "jpeg arithmetic scans": partial(with_scans, 3, 0xC9, (7000, 7000)),
    "jpeg arithmetic progressive scans": partial(with_scans, 3, 0xCA, (7000, 7000)),
    "png chunks before": lambda: png(before=chunk(b"teSt", b"") * MANY_PARTS),
    "png chunks after": lambda: png(after=chunk(b"teSt", b"") * MANY_PARTS),
    "png empty pixels": lambda: png(pixels=chunk(b"IDAT", b"") * MANY_PARTS),
    "png profiles": lambda: png(before=chunk(b"iCCP", b"a\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png texts": lambda: png(before=chunk(b"zTXt", b"a\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png texts after": lambda: png(after=chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png exif entries": lambda: png(before=chunk(b"eXIf", exif_of(MANY_PARTS))),
    "gif extensions": lambda: gif(b"!\1\0" * MANY_PARTS),
    "gif comment": lambda: gif(b"!\xfe" + b"\1a" * MANY_PARTS + b"\0"),
    "gif zeros": lambda: gif(bytes(MANY_PARTS)),
    "webp chunks": lambda: webp((b"ABCD" + bytes(4)) * MANY_PARTS),
    "webp exif entries": lambda: webp(b"EXIF" + struct.pack("<I", 10 + 12 * MANY_PARTS) + exif_of(MANY_PARTS)),
    "bmp ends of line": lambda: bmp(8, 1, b"\1\1\0\0" * 759 + b"\0\1", 65_535, 760),
    "bmp single runs": lambda: bmp(8, 1, b"\1\1" * (MAX_RUN_LENGTH // 2) + b"\0\1", 1000, 1000),
}


@pytest.mark.parametrize("name", sorted(OVER_A_LIMIT))
def test_files_over_a_limit_are_refused_before_pillow_opens_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("Pillow opened the file")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ImageTooLarge):
        fit(OVER_A_LIMIT[name](), RULE)


def test_half_of_each_limit_is_decoded() -> None:
    few = MAX_PARTS // 2
    for data in (
        after_start(jpeg(), b"\xff\xfe\0\2" * few),
        after_start(jpeg(), b"\xff\xfe\0\2" + bytes(16 * few)),
        between_scans(b"\xff\xfe\0\2" * few),
        with_scans(3),
        png(before=chunk(b"teSt", b"") * few),
        png(before=b"".join(chunk(b"zTXt", b"%d\0\0" % i + zlib.compress(b"a")) for i in range(MAX_COMPRESSED))),
        gif(b"!\xfe" + b"\1a" * few + b"\0"),
        webp((b"ABCD" + bytes(4)) * few),
    ):
        assert fit(data, RULE).shape == (64, 64, 3)
