"""Maps: images whose grey values are classes, resized like their images, but never blended."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vitrail.errors import DataError
from vitrail.images.canvas import InputRule, inner_sides
from vitrail.images.decode import LYING, open_image, orientation
from vitrail.tasks.dense.predictions import IGNORED

LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")


def map_canvas(labels: Image.Image, rule: InputRule) -> NDArray[np.uint8]:
    """A map as uint8 [size, size]; the bars of a padded canvas are ignored."""
    width, height = labels.size
    box = (0, 0, width, height)
    if rule.resize == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
    across, down = inner_sides(labels.size, rule)
    inside = labels.resize((across, down), Image.Resampling.NEAREST, box)
    canvas = Image.new("L", (rule.size, rule.size), IGNORED)
    canvas.paste(inside, ((rule.size - across) // 2, (rule.size - down) // 2))
    return np.array(canvas)


def read_map(file: Path, image: bytes, classes: int) -> Image.Image:
    """The map of an image; an invalid one is refused with the reason."""
    try:
        opened = Image.open(io.BytesIO(file.read_bytes()))
        if opened.format not in LOSSLESS:
            raise DataError(f"{file} is {opened.format}, which blurs class numbers: save maps as PNG")
        if opened.mode not in ("L", "P"):
            raise DataError(
                f"{file} has pixels of mode {opened.mode}: a map is grey, or has a palette, with 8 bits a pixel"
            )
        labels = Image.frombytes("L", opened.size, opened.tobytes())
    except (UnidentifiedImageError, OSError, SyntaxError) as fault:
        raise DataError(f"{file} does not decode") from fault
    if labels.size != (sides := upright_sides(image)):
        raise DataError(f"{file} is {labels.width}×{labels.height}, its image {sides[0]}×{sides[1]}")
    beyond = [number for number, count in enumerate(labels.histogram()[:IGNORED]) if count and number >= classes]
    if beyond:
        raise DataError(f"{file} has class {beyond[0]}, and classes.txt ends at {classes - 1} ({IGNORED} is ignored)")
    return labels


def upright_sides(image: bytes) -> tuple[int, int]:
    """Width and height of the image upright."""
    opened = open_image(image)
    width, height = opened.size
    return (height, width) if orientation(opened) in LYING else (width, height)
