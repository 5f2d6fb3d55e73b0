"""An image's header, and the cost rule: the peak memory of decoding the image to a canvas."""

from dataclasses import dataclass
from math import ceil

from vitrail.images.canvas import InputRule, inner_sides
from vitrail.images.patches import Sides

COSTLY_BYTES = 40_000_000  # of peak memory
COSTLY_PIXELS = 100_000_000  # pixels × scans

# Bytes per pixel while an image becomes a canvas, by Pillow's mode or by format: the decoder's buffers, the decoded
# pixels and their RGB copy. Measured with Pillow 13.0 as the growth of a fresh process's resident memory at 9
# megapixels, less the other terms of `Header.peak`; tests/images/decode_cost/test_header.py measures it again.
BYTES_PER_PIXEL = {
    "1": 5.0,
    "L": 5.0,
    "P": 5.0,
    "I;16": 6.0,
    "RGB": 4.0,  # without a copy, unless the image is rotated or has a transparent colour
    "RGB+": 8.0,
    "LA": 8.0,
    "RGBA": 8.0,
    "GIF": 5.0,
    "GIF+": 6.0,  # with a disposal method, for which Pillow makes a second frame
    "WEBP": 16.0,  # two canvases of libwebp's animation decoder, its output, and the decoded pixels
}
RGB_BYTES = 4  # of an RGB pixel in Pillow
COEFFICIENT_BYTES = 2  # per sample of a JPEG in several scans, which libjpeg buffers as coefficients
JPEG_ROW_BYTES = 200  # per pixel of width, for the rows that libjpeg works on
OVERHEAD = 2_500_000  # bytes: partly filled blocks of Pillow, tables, bands


@dataclass(frozen=True)
class JpegCoding:
    """How a JPEG is coded, as far as its memory depends on it."""

    components: int
    samples: float  # per pixel, over all components
    scans: int
    buffered: bool  # as coefficients, until the last scan is read
    scalable: bool  # decodes at 1/2, 1/4 or 1/8


@dataclass(frozen=True)
class Header:
    """The size of an image as stored, and what else of its header determines the cost."""

    kind: str  # format
    size: Sides
    mode: str  # a key of BYTES_PER_PIXEL; for a JPEG Pillow's mode
    parts: int = 0  # of the file's structure, which Pillow visits one by one
    metadata: int = 0  # bytes held beside the pixels
    may_rotate: bool = False  # metadata may hold an orientation
    jpeg: JpegCoding | None = None

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    def is_costly(self, rule: InputRule) -> bool:
        """Whether decoding may take more than a tenth of a second; a phone's JPEG photo takes less."""
        scanned = self.pixels * (self.jpeg.scans if self.jpeg is not None else 1)
        return self.peak(rule) > COSTLY_BYTES or scanned > COSTLY_PIXELS

    def peak(self, rule: InputRule) -> int:
        """The most bytes held while the image becomes a canvas of this rule."""
        width, height = self.size
        pixels, held = self.pixels, 0.0
        if self.jpeg is not None:
            held += COEFFICIENT_BYTES * self.jpeg.samples * pixels if self.jpeg.buffered else 0
            scale = draft_scale(self.size, rule) if self.jpeg.scalable else 1
            width, height = ceil(width / scale), ceil(height / scale)
            pixels = width * height
            held += JPEG_ROW_BYTES * width
        held += pixels * BYTES_PER_PIXEL[f"{self.mode}+" if self.mode == "RGB" and self.may_rotate else self.mode]
        if rule.resize == "crop" and width != height:
            held += RGB_BYTES * min(width, height) ** 2
        rows = max(width, height) if self.may_rotate else height
        narrowed = RGB_BYTES * max(inner_sides(self.size, rule)) * rows  # Pillow resizes each row first
        return int(held + narrowed + 8 * rule.size**2 + self.metadata + OVERHEAD)


def draft_scale(size: Sides, rule: InputRule) -> int:
    """The factor by which Pillow's draft mode reduces a JPEG for this rule."""
    across, down = inner_sides(size, rule)
    least = min(size[0] // (2 * across), size[1] // (2 * down))
    return next((scale for scale in (8, 4, 2) if least >= scale), 1)
