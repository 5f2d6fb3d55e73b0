"""Image files for the tests of decoding cost: every format, with unusual parts."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from vitrail.images.canvas import InputRule

SIDE = 1200
RULE = InputRule(64)


def waves(mode: str, width: int = SIDE, height: int = SIDE) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    image = Image.fromarray(np.stack([127 + 90 * np.sin(x / (50 + c) + y / 90) for c in range(3)], axis=2).astype("u1"))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode in ("LA", "RGBA"):
        image.putalpha(image.convert("L"))
    return image.convert(mode)


def encoded(mode: str, kind: str, sides: tuple[int, int] = (SIDE, SIDE), **options: Any) -> bytes:
    file = io.BytesIO()
    waves(mode, *sides).save(file, kind, **options)
    return file.getvalue()


def rotated_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(before: bytes = b"", pixels: bytes | None = None, after: bytes = b"") -> bytes:
    """A small PNG with extra chunks."""
    black = chunk(b"IDAT", zlib.compress((b"\0" + bytes(24)) * 8))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + (pixels or black) + after + chunk(b"IEND", b"")


def deep_png(colour_type: int, samples: int, interlaced: int) -> bytes:
    """A black PNG with 16 bits per sample, which Pillow cannot write."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        bytes(1 + 2 * samples * -(-(SIDE - x) // dx)) * -(-(SIDE - y) // dy)
        for x, y, dx, dy in (passes if interlaced else [(0, 0, 1, 1)])
    )
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour_type, 0, 0, interlaced)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def bmp(depth: int, compression: int, body: bytes, width: int, height: int) -> bytes:
    palette = bytes(range(256))[:4] * (1 << depth) if depth <= 8 else b""
    start = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 0, 0) + palette + body


def jpeg(**options: Any) -> bytes:
    return encoded("RGB", "JPEG", (64, 64), **options)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def gif(blocks: bytes) -> bytes:
    data = encoded("P", "GIF", (8, 8))
    start = 13 + (3 << ((data[10] & 7) + 1))
    return data[:start] + blocks + data[start:]


def webp(chunks: bytes) -> bytes:
    pixels = encoded("RGB", "WEBP", (8, 8), lossless=True)[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\7\0\0\7\0\0" + chunks + pixels
    return b"RIFF" + struct.pack("<I", len(body)) + body


def after_start(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


def between_scans(more: bytes) -> bytes:
    data = jpeg(progressive=True)
    place = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    return data[:place] + more + data[place:]


def exif_of(entries: int) -> bytes:
    return (
        b"MM\0*\0\0\0\x08"
        + struct.pack(">H", entries)
        + b"".join(struct.pack(">HHII", tag, 4, 1, 0) for tag in range(entries))
    )


def with_scans(scans: int, frame: int = 0xC0, sides: tuple[int, int] = (64, 64)) -> bytes:
    """A JPEG whose first scan has one of three components, and all others have all three; no encoder writes that."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 1] = frame
    struct.pack_into(">HH", data, at + 5, *sides)
    first = data.index(b"\xff\xda")
    scan = bytes(data[first:-2])
    return bytes(data[:first]) + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0" + scan * (scans - 1) + b"\xff\xd9"
