"""Maps: images whose grey values are classes, or numbers; resized like their images, but never blended."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vitrail.errors import DataError
from vitrail.images.canvas import InputRule, inner_sides
from vitrail.images.decode import LYING, open_image, orientation
from vitrail.tasks.dense.predictions import IGNORED

LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")
# How a map of numbers is stored, by Pillow's mode, and which number stands for an unknown one beside NaN.
NUMBERS = {"L": 255.0, "I;16": 65535.0, "I;16B": 65535.0, "F": np.nan}


def map_canvases(maps: NDArray[Any], rule: InputRule) -> NDArray[Any]:
    """One map [height, width], or several [K, height, width], at the size of a canvas."""
    if maps.ndim == 2:
        return map_canvas(Image.fromarray(maps), rule)
    return np.stack([map_canvas(Image.fromarray(each), rule) for each in maps])


def map_canvas(labels: Image.Image, rule: InputRule) -> NDArray[Any]:
    """A map as [size, size]; the bars of a padded canvas are ignored."""
    width, height = labels.size
    box = (0, 0, width, height)
    if rule.resize == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
    across, down = inner_sides(labels.size, rule)
    inside = labels.resize((across, down), Image.Resampling.NEAREST, box)
    canvas = Image.new(labels.mode, (rule.size, rule.size), IGNORED if labels.mode == "L" else np.nan)
    canvas.paste(inside, ((rule.size - across) // 2, (rule.size - down) // 2))
    return np.array(canvas)


def read_map(file: Path, image: bytes, classes: int) -> Image.Image:
    """The map of an image, of classes; an invalid one is refused with the reason."""
    opened = opened_map(file, image)
    if opened.mode not in ("L", "P"):
        raise DataError(
            f"{file} has pixels of mode {opened.mode}: a map is grey, or has a palette, with 8 bits a pixel"
        )
    labels = Image.frombytes("L", opened.size, opened.tobytes())
    beyond = [number for number, count in enumerate(labels.histogram()[:IGNORED]) if count and number >= classes]
    if beyond:
        raise DataError(f"{file} has class {beyond[0]}, and classes.txt ends at {classes - 1} ({IGNORED} is ignored)")
    return labels


def read_numbers(file: Path, image: bytes) -> Image.Image:
    """The map of an image, of numbers: mode F, NaN where one is unknown."""
    opened = opened_map(file, image)
    if opened.mode not in NUMBERS:
        raise DataError(
            f"{file} has pixels of mode {opened.mode}: a map of numbers is grey, of 8 or 16 bits, or a TIFF of floats"
        )
    numbers = np.array(opened, np.float32)
    numbers[numbers == NUMBERS[opened.mode]] = np.nan
    if np.isinf(numbers).any():
        raise DataError(f"{file} has an infinite number: an unknown one is NaN")
    return Image.fromarray(numbers)


def opened_map(file: Path, image: bytes) -> Image.Image:
    """The map as it is stored; one of other sides than its image is not decoded."""
    try:
        opened = Image.open(io.BytesIO(file.read_bytes()))
        if opened.format not in LOSSLESS:
            raise DataError(f"{file} is {opened.format}, which blurs numbers: save maps as PNG")
        if opened.size != (sides := upright_sides(image)):
            raise DataError(f"{file} is {opened.width}×{opened.height}, its image {sides[0]}×{sides[1]}")
        opened.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as fault:
        raise DataError(f"{file} does not decode") from fault
    return opened


def upright_sides(image: bytes) -> tuple[int, int]:
    """Width and height of the image upright."""
    opened = open_image(image)
    width, height = opened.size
    return (height, width) if orientation(opened) in LYING else (width, height)
