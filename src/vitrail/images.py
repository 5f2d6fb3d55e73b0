"""Bytes → RGB array, safely: the only decoder."""

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from vitrail.card import InputRule
from vitrail.errors import CorruptPicture, PictureTooLarge, UnsupportedFormat

MAX_PIXELS = 50_000_000
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")

# What Pillow's decoders raise for bytes that are not the picture they claim to be.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error)

# How a picture is turned upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of pictures that are refused here anyway, and of EXIF blocks that are passed over.
warnings.filterwarnings("ignore", module=r"PIL\.")


def sniff(data: bytes) -> str:
    """The format that the first bytes show; names and declared types are not asked."""
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
    raise UnsupportedFormat("this is not a picture that vitrail reads (JPEG, PNG, WebP, GIF or BMP)")


def open_picture(data: bytes) -> Image.Image:
    """Read the header alone; refuse what is too large before a pixel is decoded."""
    kind = sniff(data)
    try:
        picture = Image.open(io.BytesIO(data), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:  # a warning, where those raise
        raise PictureTooLarge(f"the picture has more than {MAX_PIXELS:,} pixels") from fault
    except BROKEN as fault:
        raise CorruptPicture(f"the {kind} picture is damaged and does not decode") from fault
    if picture.width * picture.height > MAX_PIXELS:
        raise PictureTooLarge(
            f"the picture is {picture.width}×{picture.height}; at most {MAX_PIXELS:,} pixels are decoded"
        )
    return picture


def decode(data: bytes, least: int | None = None) -> Image.Image:
    """The picture as a person sees it: first frame, upright, RGB, transparency on white.

    With `least`, a JPEG may be decoded at a smaller scale that keeps both sides at least that long.
    """
    picture = open_picture(data)
    try:
        if least is not None and min(picture.size) > least:
            picture.draft("RGB", (least, least))
        picture.load()
        return as_rgb(upright(picture))
    except Image.DecompressionBombError as fault:
        raise PictureTooLarge(f"the picture has more than {MAX_PIXELS:,} pixels") from fault
    except BROKEN as fault:
        raise CorruptPicture(f"the {picture.format} picture is damaged and does not decode") from fault


def upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF says; a broken EXIF block turns nothing, and does not spoil a good picture.

    Not `ImageOps.exif_transpose`: it writes the EXIF block anew, and fails where another tag is odd.
    """
    try:
        turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return picture
    return picture if turn is None else picture.transpose(turn)


def as_rgb(picture: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB, with transparency laid on white."""
    if picture.mode.startswith("I"):  # 16-bit grey, which convert() would clip instead of scale
        grey = np.asarray(picture).astype(np.int64) >> 8
        return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def to_canvas(picture: Image.Image, rule: InputRule) -> NDArray[np.uint8]:
    """An RGB picture as the square canvas of the rule, uint8 [size, size, 3]."""
    width, height = picture.size
    if rule.resize == "crop":  # the central square
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    elif rule.resize == "pad":  # a black square around the whole picture
        side = max(width, height)
        square = Image.new("RGB", (side, side))
        square.paste(picture, ((side - width) // 2, (side - height) // 2))
        picture = square
    return np.array(picture.resize((rule.size, rule.size), Image.Resampling.BILINEAR))


def fit(data: bytes, rule: InputRule) -> NDArray[np.uint8]:
    """Encoded picture → the uint8 canvas [size, size, 3] that is measured and served."""
    return to_canvas(decode(data, least=2 * rule.size), rule)
