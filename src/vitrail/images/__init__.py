"""Bytes → RGB canvas, safely: the only decoder."""

from vitrail.images.canvas import InputRule, Resize, to_canvas
from vitrail.images.decode import EXTENSIONS, MAX_PIXELS, MAX_SIDE, decode, decode_upright, fit, read_header

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "InputRule",
    "Resize",
    "decode",
    "decode_upright",
    "fit",
    "read_header",
    "to_canvas",
]
