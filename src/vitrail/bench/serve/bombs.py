"""Small image files that are costly to decode, written byte by byte without ever holding their pixels."""

import struct
import zlib

SIDE = 7071  # squared just within the 50 million pixels that are decoded
MARKERS = 4_900_000  # of four bytes: 19.6 MB, just within the 20 MB of a body
SCANS = 99  # just within the 100 that are decoded

COMMENT = b"\xff\xfe\x00\x02"  # without a text
ONE_COLOUR = bytes.fromhex("07508a2ad4a3ff8188e87f0000")  # VP8L: each code has one symbol, so that a pixel takes no bit


def webp(side: int = SIDE) -> bytes:
    """A lossless WebP of one colour: 38 bytes at any size."""
    stream = b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + ONE_COLOUR
    stream += b"\0" * (len(stream) % 2)
    content = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", len(content)) + content


def deep_png(side: int = SIDE) -> bytes:
    """A transparent PNG of 16 bits a channel, 8 bytes a pixel: 400 MB once it is unpacked."""
    row = bytes(1 + 8 * side)
    packer = zlib.compressobj(9, wbits=-15)
    rows = packer.compress(row) + packer.flush(zlib.Z_FULL_FLUSH)  # means the same wherever it stands
    total = (len(row) * side % 65_521) << 16 | 1  # adler-32 of so many zeros
    packed = b"\x78\xda" + rows * side + packer.flush() + struct.pack(">I", total)
    header = struct.pack(">2I5B", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def many_comments(markers: int = MARKERS) -> bytes:
    """A JPEG of 8 × 8 pixels behind millions of empty comments, each of which Pillow's parser visits."""
    return b"\xff\xd8" + COMMENT * markers + jpeg_frame(0xC0, 8) + scan(0, 63) + b"\xff\xd9"


def many_scans(side: int = SIDE, scans: int = SCANS) -> bytes:
    """A progressive JPEG that goes over all pixels again and again, with hardly a byte for each time."""
    first, again = scan(0, 0), scan(1, 63)
    return b"\xff\xd8" + jpeg_frame(0xC2, side) + first + again * (scans - 1) + b"\xff\xd9"


def jpeg_frame(kind: int, side: int) -> bytes:
    """All up to the first scan: one channel; each table of codes has one code, of one bit, for nothing."""
    quantisation = segment(0xDB, b"\0" + b"\x01" * 64)
    frame = segment(kind, struct.pack(">B2H", 8, side, side) + b"\x01\x01\x11\x00")
    codes = [segment(0xC4, bytes([table]) + b"\x01" + bytes(15) + b"\0") for table in (0x00, 0x10)]
    return quantisation + frame + b"".join(codes)


def scan(first: int, last: int) -> bytes:
    return segment(0xDA, b"\x01\x01\x00" + bytes([first, last, 0])) + b"\0"


def segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content
