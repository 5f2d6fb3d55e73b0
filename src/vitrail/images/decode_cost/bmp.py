"""The header of a BMP: size, depth, and whether it is run-length coded."""

import struct

from vitrail.errors import ImageTooLarge
from vitrail.images.decode_cost.header import Header

MODES = {1: "P", 4: "P", 8: "P", 16: "RGB", 24: "RGB", 32: "RGB"}  # by bits per pixel
CORE_HEADER = 12  # bytes of the oldest header, which has 16-bit sides and no compression
RUN_LENGTH, BITFIELDS = (1, 2), 3  # compression methods
MAX_RUN_LENGTH = 1 << 20  # pixels, and bytes, of a run-length coded BMP, which Pillow decodes in Python


def read_bmp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    compression, colours = 0, 0
    if length == CORE_HEADER:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth, compression, _, _, _, colours = struct.unpack_from("<IIHHIIIII", data, 18)
        if height >> 24 == 0xFF:  # negative: rows are stored from top to bottom
            height = 2**32 - height
    if compression in RUN_LENGTH and max(width * height, len(data)) > MAX_RUN_LENGTH:
        raise ImageTooLarge(
            f"the BMP image is run-length coded; at most {MAX_RUN_LENGTH:,} pixels and bytes of those are decoded"
        )
    mode = "RGBA" if depth == 32 and compression == BITFIELDS else MODES.get(depth, "RGBA")
    return Header("BMP", (width, height), mode, colours if depth <= 8 else 0)
