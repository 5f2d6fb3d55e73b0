"""Bytes → RGB canvas, safely: the only decoder."""

from vitrail.images.canvas import InputRule, Resize, to_canvas
from vitrail.images.decode import EXTENSIONS, MAX_PIXELS, MAX_SIDE, decode, fit, read_header, see

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "InputRule",
    "Resize",
    "decode",
    "fit",
    "read_header",
    "see",
    "to_canvas",
]
