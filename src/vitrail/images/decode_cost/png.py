"""The header of a PNG: size, mode, and every chunk to the end of the first frame."""

import struct

from vitrail.errors import ImageTooLarge
from vitrail.images.decode_cost.header import Header
from vitrail.images.decode_cost.parts import EXPANDING_PARTS, MAX_PARTS, METADATA_COPIES, exif_entries, too_many_parts

MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}  # by colour type
MIN_IDAT = 256  # bytes: encoders write pixels in chunks of about 8,192, and shorter ones count as parts too
MAX_COMPRESSED = 16  # compressed texts and profiles, each of which Pillow lets grow to a megabyte
COMPRESSED_BYTES = 4_400_000  # held for each of them: a megabyte, at four bytes a character
RAW_PROFILE_FACTOR = 20  # of the size of an EXIF block stored as text, which Pillow splits into lines
COMPRESSED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


def read_png(data: bytes) -> Header:
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    mode = MODES.get(colour_type, "RGBA")
    if depth == 16 and colour_type == 0:
        mode = "I;16"
    at, parts, compressed, metadata, has_pixels, animated, may_rotate = 8, 0, 0, 0, False, False, False
    while at + 8 <= len(data):
        length, name = u32(data, at), data[at + 4 : at + 8]
        begin, at = at + 8, at + 12 + length
        if name == b"IDAT":
            has_pixels = True
            parts += length < MIN_IDAT
        else:
            parts += 1
            metadata += METADATA_COPIES * length
        if name == b"IEND" or (name == b"fcTL" and has_pixels and animated):
            break
        animated = animated or name == b"acTL"
        if name == b"tRNS" and mode == "RGB":
            mode = "RGB+"
        elif name == b"eXIf":
            may_rotate = True
            parts += exif_entries(data[begin : begin + length])
        elif name in TEXT_CHUNKS:
            may_rotate = True
            if data.startswith(b"Raw profile type exif", begin):
                parts += EXPANDING_PARTS
                metadata += RAW_PROFILE_FACTOR * (length if name == b"tEXt" else 1_000_000)
        if name in COMPRESSED_CHUNKS:
            compressed += 1
            parts += EXPANDING_PARTS
            metadata += COMPRESSED_BYTES
            if compressed > MAX_COMPRESSED:
                raise ImageTooLarge(f"the PNG image has more than {MAX_COMPRESSED} compressed texts")
        if parts > MAX_PARTS:
            raise too_many_parts("PNG")
    return Header("PNG", (width, height), mode, parts, metadata, may_rotate)


def u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])
