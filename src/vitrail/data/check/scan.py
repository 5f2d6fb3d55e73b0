"""Every image of a set, read and decoded once: its facts and a thumbnail, or why it cannot be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.check.listing import Item
from vitrail.data.check.other_formats import other_format
from vitrail.data.check.readers import readers
from vitrail.data.source import Source
from vitrail.errors import DataError, ImageError, UnsupportedFormat
from vitrail.images.canvas import InputRule
from vitrail.images.decode import decode_upright, faults_named, open_image, orientation, read_header
from vitrail.images.patches import Sides

Progress = Callable[[int, int], None]  # images done, and all
Thumbnails = NDArray[np.uint8]  # [N, SIDE, SIDE, 3]

SIDE = 16  # of a thumbnail, in pixels
LEAST = 4 * SIDE  # pixels of the shorter side that are decoded for it
TOGETHER = 64  # images a task: a small image is decoded faster than it is handed to a worker
ANIMATED = ("GIF", "WEBP", "PNG")
ENDINGS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",), "BMP": (".bmp",)}


@dataclass(frozen=True, slots=True)
class Facts:
    """One image that decodes."""

    size: Sides  # upright
    format: str  # empty where the set has no files
    mode: str  # Pillow's
    is_turned: bool = False  # by EXIF
    has_transparency: bool = False
    is_animated: bool = False
    is_misnamed: bool = False  # the file's ending is another format's

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def cut(self) -> float:
        """The share of pixels outside the central square."""
        return 1 - min(self.size) / max(self.size)


@dataclass(frozen=True, slots=True)
class Fault:
    """One image that `fit` refuses."""

    reason: str
    is_unreadable: bool = False  # the file itself, whatever is in it


Outcome = Facts | Fault


class CostlyImage(Exception):
    """One that takes much memory, to be decoded where nothing else is."""


def scan(items: Sequence[Item], source: Source | None, progress: Progress) -> tuple[list[Outcome], Thumbnails]:
    """The outcome of each image; the thumbnail of one that does not decode is black."""
    outcomes: list[Outcome] = []
    thumbnails = np.zeros((len(items), SIDE, SIDE, 3), np.uint8)
    batches = [items[begin : begin + TOGETHER] for begin in range(0, len(items), TOGETHER)]
    has_files = all(item.file is not None for item in items)
    look = partial(look_at_all, None if has_files else source)  # for processes, which are sent their work
    with readers(len(items) if has_files else 0) as pool:
        for batch, (seen, shown) in zip(batches, pool.map(look, batches), strict=True):
            for item, outcome, thumbnail in zip(batch, seen, shown, strict=True):
                here = thumbnails[len(outcomes)]
                here[:] = thumbnail
                outcomes.append(outcome or look_at(item, source, here))  # a costly one, here and one at a time
            progress(len(outcomes), len(items))
    return outcomes, thumbnails


def look_at_all(source: Source | None, items: Sequence[Item]) -> tuple[list[Outcome | None], Thumbnails]:
    """The outcomes of these images; None for those that take so much memory that no two may be decoded at once."""
    thumbnails = np.zeros((len(items), SIDE, SIDE, 3), np.uint8)
    outcomes: list[Outcome | None] = []
    for item, thumbnail in zip(items, thumbnails, strict=True):
        try:
            outcomes.append(look_at(item, source, thumbnail, takes_costly=False))
        except CostlyImage:
            outcomes.append(None)
    return outcomes, thumbnails


def look_at(item: Item, source: Source | None, thumbnail: NDArray[np.uint8], takes_costly: bool = True) -> Outcome:
    """The facts of one image; its thumbnail is written."""
    try:
        if item.file is not None:
            return look_at_file(item.file.read_bytes(), item.file, thumbnail, takes_costly)
        assert source is not None
        pixels = source.whole(item.part, item.index)
    except OSError as fault:
        return Fault(f"cannot be read: {fault.strerror or fault}", is_unreadable=True)
    except (ImageError, DataError) as fault:
        return Fault(str(fault))
    thumbnail[:] = shrunk(Image.fromarray(pixels))
    return Facts((pixels.shape[1], pixels.shape[0]), "", "RGB")


def look_at_file(data: bytes, file: Path, thumbnail: NDArray[np.uint8], takes_costly: bool) -> Facts:
    """Decode all of a file, so that one that is cut short is found; a JPEG at the scale of the thumbnail."""
    if not data:
        raise ImageError("the file is empty")
    try:
        header = read_header(data)
    except UnsupportedFormat as fault:
        if other := other_format(data):
            raise UnsupportedFormat(f"{other.name} inside, in spite of its name: {other.advice}") from fault
        raise
    if not takes_costly and header.is_costly(InputRule(SIDE)):
        raise CostlyImage
    image = open_image(data, header)
    mode, kind = image.mode, header.kind
    with faults_named(kind):
        is_animated = kind in ANIMATED and bool(getattr(image, "is_animated", False))
        has_transparency = image.has_transparency_data
    turn = orientation(image)
    decoded = decode_upright(image, wanted=(LEAST, LEAST))
    thumbnail[:] = shrunk(decoded.pixels)
    is_misnamed = file.suffix.lower() not in ENDINGS[kind]
    return Facts(decoded.size, kind, mode, turn != 1, has_transparency, is_animated, is_misnamed)


def shrunk(image: Image.Image) -> NDArray[np.uint8]:
    """All of an RGB image on a small square."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=4))
