"""What decoding an image costs, in memory and in time, known from its header before anything is decoded."""

import struct
from collections.abc import Callable

from vitrail.errors import CorruptImage
from vitrail.images.decode_cost.bmp import read_bmp
from vitrail.images.decode_cost.gif import read_gif
from vitrail.images.decode_cost.header import Header
from vitrail.images.decode_cost.jpeg import read_jpeg
from vitrail.images.decode_cost.parts import MAX_PARTS, too_many_parts
from vitrail.images.decode_cost.png import read_png
from vitrail.images.decode_cost.webp import read_webp

__all__ = ["Header", "read_header"]

READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "GIF": read_gif,
    "WEBP": read_webp,
    "BMP": read_bmp,
}


def read_header(kind: str, data: bytes) -> Header:
    """The header of an image of this format; refused where it has too many parts or scans."""
    try:
        header = READERS[kind](data)
    except (struct.error, IndexError) as fault:
        raise CorruptImage(f"the {kind} image is damaged and does not decode") from fault
    if header.parts > MAX_PARTS:
        raise too_many_parts(kind)
    return header
