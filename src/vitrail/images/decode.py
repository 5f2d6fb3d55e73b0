"""Bytes → RGB array, safely: the only decoder."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from vitrail.errors import CorruptImage, ImageTooLarge, UnsupportedFormat
from vitrail.images import decode_cost
from vitrail.images.canvas import DecodedImage, InputRule, inner_sides, place
from vitrail.images.decode_cost import Header
from vitrail.images.nvimgcodec import NvImageCodec, takes
from vitrail.images.patches import Sides

MAX_PIXELS = 50_000_000
MAX_SIDE = 65_535  # the most that a JPEG or a GIF can say; Pillow needs 27 bytes a pixel for a line of 50 million
BAND = 1 << 16  # pixels of a large image that are turned and made RGB at a time
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")

# What Pillow's decoders raise for bytes that are not the image they claim to be.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AssertionError,  # of a palette that is missing
    struct.error,
)

# How an image is turned upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)  # stored on its side
RIGHT_TO_LEFT = (2, 3, 6, 7)  # whose end is on the left of the upright image…
BOTTOM_TO_TOP = (3, 4, 7, 8)  # …and at its top
END_FIRST = (3, 4, 6, 7)  # whose last stored row comes first


def sniff(data: bytes) -> str:
    """The format that the first bytes show; names and declared types do not count."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    raise UnsupportedFormat("this is not an image that vitrail reads (JPEG, PNG, WebP, GIF or BMP)")


@contextmanager
def faults_named(kind: str) -> Iterator[None]:
    """Turn Pillow's exceptions into ImageErrors."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:  # a warning, where those raise
        raise ImageTooLarge(f"the image has more than {MAX_PIXELS:,} pixels") from fault
    except BROKEN as fault:
        raise CorruptImage(f"the {kind} image is damaged and does not decode") from fault


def read_header(data: bytes) -> Header:
    """The header alone; refused if it has too many pixels, or would take too long to decode."""
    kind = sniff(data)
    header = decode_cost.read_header(kind, data)
    width, height = header.size
    if header.pixels <= MAX_PIXELS and max(width, height) <= MAX_SIDE:
        return header
    with faults_named(kind):  # a damaged file may declare any size
        Image.open(io.BytesIO(data), formats=(kind,))
    if header.pixels > MAX_PIXELS:
        raise ImageTooLarge(f"the image is {width}×{height}; at most {MAX_PIXELS:,} pixels are decoded")
    raise ImageTooLarge(f"the image is {width}×{height}; a side has at most {MAX_SIDE:,} pixels")


def open_image(data: bytes, header: Header | None = None) -> Image.Image:
    """Open without decoding, after the limits are checked against the header."""
    header = header or read_header(data)
    with faults_named(header.kind):
        image = Image.open(io.BytesIO(data), formats=(header.kind,))
    if image.size != header.size:  # memory was reserved for the size in the header
        raise CorruptImage(f"the {header.kind} image is damaged and does not decode")
    return image


def decode(data: bytes, least: int | None = None) -> Image.Image:
    """The image as a person sees it: first frame, upright, RGB, transparency on white.

    With `least` a JPEG is decoded at the smallest scale whose shorter side has as many pixels.
    """
    return decode_upright(open_image(data), wanted=None if least is None else (least, least)).pixels


def decode_upright(image: Image.Image, wanted: Sides | None = None) -> DecodedImage:
    """Decode an opened image, upright; with `wanted`, a JPEG at the smallest scale at least that long."""
    width, height = image.size
    scale, rest = 1, (0.0, 0.0)
    with faults_named(image.format or ""):
        if wanted is not None and (drafted := image.draft("RGB", wanted)) is not None:
            _, (_, _, across, down) = drafted
            scale, rest = round(width / across), (image.width - across, image.height - down)
        image.load()
        turn = orientation(image)
        pixels = upright_rgb(image, turn)
    if turn in LYING:
        width, height, rest = height, width, rest[::-1]
    corner = (rest[0] if turn in RIGHT_TO_LEFT else 0, rest[1] if turn in BOTTOM_TO_TOP else 0)
    return DecodedImage(pixels, (width, height), scale, corner)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation; a broken EXIF block is ignored.

    Not `ImageOps.exif_transpose`: it rewrites the EXIF block, and fails if another tag of it is invalid.
    """
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return 1


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB, with transparency laid on white; as few copies as can be, of 50 million pixels."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip instead of scale
        grey = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", image.size, "white")
        ground.paste(layer, mask=layer)
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def upright_rgb(image: Image.Image, turn: int) -> Image.Image:
    """The stored pixels turned and made RGB; a large image band by band, so that there is one copy and not three."""
    if image.mode == "RGB" and not image.has_transparency_data and turn not in TURNS:
        return image
    width, height = image.size
    rows = max(1, BAND // width)
    if rows >= height:
        return as_rgb(image.transpose(TURNS[turn]) if turn in TURNS else image)
    whole = Image.new("RGB", (height, width) if turn in LYING else (width, height))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = as_rgb(image.crop((0, top, width, bottom)))
        begin = height - bottom if turn in END_FIRST else top
        if turn in TURNS:
            band = band.transpose(TURNS[turn])
        whole.paste(band, (begin, 0) if turn in LYING else (0, begin))
    image.close()
    return whole


def fit(
    data: bytes, rule: InputRule, header: Header | None = None, jpegs: NvImageCodec | None = None
) -> NDArray[np.uint8]:
    """Encoded image → the uint8 canvas [size, size, 3] that is measured and served; its header may be known.

    With `jpegs`, another decoder than Pillow's is given those that it takes.
    """
    header = header or read_header(data)
    image = open_image(data, header)
    if jpegs is not None and takes(header, rule):
        stored = jpegs.decode(data)
        if stored is not None and stored.shape[:2] == header.size[::-1]:
            return place(turned(image, stored), rule)
    across, down = inner_sides(image.size, rule)
    return place(decode_upright(image, wanted=(2 * across, 2 * down)), rule)


def turned(image: Image.Image, stored: NDArray[np.uint8]) -> DecodedImage:
    """Pixels that were decoded elsewhere, upright as the opened file says."""
    pixels = upright_rgb(Image.fromarray(stored), orientation(image))
    return DecodedImage(pixels, pixels.size)
