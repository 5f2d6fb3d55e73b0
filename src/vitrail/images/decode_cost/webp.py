"""The header of a WebP: the canvas, every chunk, and the prefix codes of lossless pixels."""

import struct

from vitrail.images.decode_cost.header import Header
from vitrail.images.decode_cost.parts import MAX_PARTS, exif_entries, too_many_parts
from vitrail.images.decode_cost.vp8l import bit_reader, lossless_size, prefix_code_bytes

FILE_COPIES = 3  # of a whole WebP file: Pillow's, libwebp's, and one of its metadata


def read_webp(data: bytes) -> Header:
    """libwebp records each chunk of the file, and decodes the first frame."""
    first = data[12:16]
    if first == b"VP8X":
        width, height = u24(data, 24) + 1, u24(data, 27) + 1
    elif first == b"VP8L":
        width, height = lossless_size(data, 20)
    else:
        width, height = u14(data, 26), u14(data, 28)
    bits = bit_reader(data)
    at, parts, codes, frame = 12, 0, 0, (width, height)
    in_frame = False
    while at + 8 <= len(data):
        name, begin, length = data[at : at + 4], at + 8, int(struct.unpack_from("<I", data, at + 4)[0])
        if name == b"EXIF":
            parts += exif_entries(data[begin : begin + length])
        elif name in (b"VP8L", b"ALPH"):
            codes = max(codes, prefix_code_bytes(name, bits, begin, frame))
        at = begin + length + length % 2
        if name == b"ANMF" and not in_frame:
            in_frame, at = True, begin + 16  # the chunks within it follow
            frame = u24(data, begin + 6) + 1, u24(data, begin + 9) + 1
        parts += 1
        if parts > MAX_PARTS:
            raise too_many_parts("WEBP")
    return Header("WEBP", (width, height), "WEBP", parts, FILE_COPIES * len(data) + codes)


def u14(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0]) & 0x3FFF


def u24(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16
