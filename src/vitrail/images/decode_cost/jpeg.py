"""The header of a JPEG: size, components and scans, and every marker that Pillow visits."""

import re
import struct

from vitrail.errors import ImageTooLarge
from vitrail.images.decode_cost.header import Header, JpegCoding
from vitrail.images.decode_cost.parts import MAX_PARTS, METADATA_COPIES, exif_entries, too_many_parts

JUNK_PER_PART = 16  # bytes between markers that count as one part
MAX_JUNK = JUNK_PER_PART * MAX_PARTS
MAX_EXIF_SEGMENTS = 16  # of 64 kB each; Pillow copies all earlier ones to append the next
MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten. A scan of 40 bytes passes over all pixels
MAX_SCANNED = 1_000_000_000  # scans × pixels: 20 scans at 50 megapixels
MAX_SCANNED_ARITHMETIC = 100_000_000  # the same for arithmetic coding, whose decoder continues past the end of its data

# Markers without a segment: restarts, start and end of the image, extensions.
STANDALONE_MARKERS = frozenset((0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE}
SOI, EOI, SOS, DQT, APP1, APP13 = 0xD8, 0xD9, 0xDA, 0xDB, 0xE1, 0xED
SEQUENTIAL = (0xC0, 0xC1, 0xC9)
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
ARITHMETIC = range(0xC9, 0xD0)
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
NEXT_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in entropy-coded data FF precedes 0 or is a restart


def read_jpeg(data: bytes) -> Header:
    """Every marker up to the first scan; and all scans, where there may be several."""
    at, parts, skipped = 2, 0, 0
    frame, start = 0, 0
    exif: list[bytes] = []
    may_rotate = False
    while True:
        marker = NEXT_MARKER.search(data, at, at + MAX_JUNK)
        if marker is None:
            raise too_many_parts("JPEG") if at + MAX_JUNK < len(data) else IndexError
        skipped += marker.start() - at
        parts += 1
        code, at = data[marker.start() + 1], marker.end()
        if parts + skipped // JUNK_PER_PART > MAX_PARTS:
            raise too_many_parts("JPEG")
        if code in STANDALONE_MARKERS:
            continue
        length = u16(data, at)
        if code == SOS:
            break
        if code in FRAME_MARKERS:
            frame, start = code, at
        elif code == DQT:
            parts += length // 65
        elif code == APP13:
            parts += data.count(b"8BIM", at, at + length)
        elif code == APP1:
            may_rotate = True
            if data.startswith(b"Exif\0\0", at + 2):
                exif.append(data[at + 8 : at + length])
        at += length
    if len(exif) > MAX_EXIF_SEGMENTS:
        raise too_many_parts("JPEG")
    parts += exif_entries(b"".join(exif))
    if not start:
        raise IndexError
    height, width, components = struct.unpack_from(">HHB", data, start + 3)
    if not components:
        raise IndexError
    factors = [divmod(data[start + 9 + 3 * component], 16) for component in range(components)]
    largest = max(h for h, _ in factors) * max(v for _, v in factors)
    scans = 1
    multi_scan = frame not in SEQUENTIAL or data[at + 2] < components
    if multi_scan:
        most = MAX_SCANS if frame in PROGRESSIVE else components  # a sequential JPEG has each component in one scan
        scanned = MAX_SCANNED_ARITHMETIC if frame in ARITHMETIC else MAX_SCANNED
        scans = count_scans(data, at, parts, most, scanned, width * height)
    return Header(
        "JPEG",
        (width, height),
        {1: "L", 3: "RGB"}.get(components, "RGBA"),
        parts,
        METADATA_COPIES * at,
        may_rotate,
        JpegCoding(
            components, sum(h * v for h, v in factors) / max(1, largest), scans, multi_scan, frame not in LOSSLESS
        ),
    )


def count_scans(data: bytes, at: int, parts: int, most: int, most_scanned: int, pixels: int) -> int:
    """The number of scans; refused where there are too many, for these pixels too, or too many parts between them."""
    scans = 1
    at += u16(data, at)
    while (marker := NEXT_AFTER_SCAN.search(data, at)) is not None:
        code, at = data[marker.start() + 1], marker.end()
        if code in (SOI, EOI):
            return scans
        parts += 1
        scans += code == SOS
        if scans > most:
            raise ImageTooLarge(f"the JPEG image has more than {most} scans")
        if scans * pixels > most_scanned:
            raise ImageTooLarge(f"the JPEG image's scans draw more than {most_scanned:,} pixels in all")
        if parts > MAX_PARTS:
            raise too_many_parts("JPEG")
        if at + 2 > len(data):
            return scans
        at += u16(data, at)
    return scans


def u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])
