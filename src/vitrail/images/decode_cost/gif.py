"""The header of a GIF: every block up to the first frame, which may be larger than the logical screen."""

import struct

from vitrail.images.decode_cost.header import Header
from vitrail.images.decode_cost.parts import MAX_PARTS, METADATA_COPIES, too_many_parts

EXTENSION, IMAGE, TRAILER, GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9


def read_gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + palette_bytes(flags)
    parts, disposal = 0, False
    while (block := data[at]) != IMAGE:
        parts += 1
        at += 1
        if block == EXTENSION:
            at += 1
            if data[at - 1] == GRAPHIC_CONTROL and data[at]:
                disposal = bool(data[at + 1] & 0b11000)
            while length := data[at]:
                at += 1 + length
                parts += 1
                if parts > MAX_PARTS:
                    raise too_many_parts("GIF")
            at += 1
        elif block == TRAILER:
            raise IndexError
        if parts > MAX_PARTS:
            raise too_many_parts("GIF")
    left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
    size = max(width, left + across), max(height, top + down)
    return Header("GIF", size, "GIF+" if disposal else "GIF", parts, METADATA_COPIES * at)


def palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
