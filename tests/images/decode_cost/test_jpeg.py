"""Scans of a JPEG: counted, weighted with the pixels, and limited."""

import struct

import numpy as np
import pytest

from vitrail.errors import CorruptImage, ImageTooLarge
from vitrail.images.decode import decode, fit, read_header
from vitrail.images.decode_cost.jpeg import MAX_SCANNED, MAX_SCANS

from .files import RULE, after_start, jpeg, segment


def test_scans_are_limited_by_their_pixels() -> None:
    """A progressive photo of 50 megapixels with its ten scans is decoded, with 20 more it is refused."""
    data = bytearray(jpeg(progressive=True))
    frame = data.index(b"\xff\xc2")
    struct.pack_into(">HH", data, frame + 5, 7071, 7071)
    assert read_header(bytes(data)).pixels == 7071**2
    last = data.rindex(b"\xff\xda")
    again = bytes(data[last:-2])
    with pytest.raises(ImageTooLarge, match="pixels in all"):
        read_header(bytes(data[:-2] + again * (MAX_SCANNED // 7071**2) + b"\xff\xd9"))


def test_scans_of_embedded_images_do_not_count() -> None:
    """Phones append a second image to the first, and put a thumbnail into the EXIF block."""
    inner = jpeg(progressive=True)
    with_many = after_start(jpeg(progressive=True), segment(0xE2, inner)) + inner * 20
    assert fit(with_many, RULE).shape == (64, 64, 3)


def test_a_frame_without_components_is_corrupt() -> None:
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 9] = 0
    with pytest.raises(CorruptImage):
        fit(bytes(data), RULE)


def progressive_of(scans: int, side: int = 64) -> bytes:
    """A grey JPEG with scans that change nothing."""

    def coded(bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")

    one_code = bytes([1] + [0] * 15)
    tables = (
        segment(0xDB, b"\x00" + bytes([1] * 64))
        + segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0]))
        + segment(0xC4, b"\x00" + one_code + b"\x00")  # one code for "no change of brightness"…
        + segment(
            0xC4, b"\x10" + one_code + b"\xe0"
        )  # …and one for "no coefficients in the next 2**14 blocks and more"
    )
    blocks = (side // 8) ** 2
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + coded("0" * blocks)
    again = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + coded("0" + "1" * 14)
    return b"\xff\xd8" + tables + first + again * (scans - 1) + b"\xff\xd9"


def test_jpeg_of_many_scans_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan takes 40 bytes: half a million of them fit into an upload and would take a core an hour."""
    assert (np.array(decode(progressive_of(MAX_SCANS))) == 128).all()

    def never(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(ImageTooLarge, match="more than 100 scans"):
        decode(progressive_of(MAX_SCANS + 1))
