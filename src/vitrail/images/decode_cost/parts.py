"""The parts of an image file that Pillow visits one by one in Python: markers, chunks, blocks, metadata entries."""

import struct

from vitrail.errors import ImageTooLarge

MAX_PARTS = 5_000  # each takes 0.2 to 5 µs under the interpreter's lock; a photo has about fifty
EXPANDING_PARTS = 100  # for a text or profile that grows when it is read, which counts as this many parts
METADATA_COPIES = 4  # of a file's metadata, in Pillow's lists and dictionaries


def too_many_parts(kind: str) -> ImageTooLarge:
    return ImageTooLarge(f"the {kind} image has more than {MAX_PARTS:,} parts beside its pixels")


def exif_entries(block: bytes) -> int:
    """The number of EXIF entries that Pillow visits to find the orientation."""
    tiff = block.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    if len(tiff) < 8:
        return 0
    order = "<" if tiff.startswith(b"II") else ">"
    offset = int(struct.unpack_from(f"{order}I", tiff, 4)[0])
    if offset + 2 > len(tiff):
        return 0
    entries = int(struct.unpack_from(f"{order}H", tiff, offset)[0])
    return min(entries, (len(tiff) - offset) // 12)
