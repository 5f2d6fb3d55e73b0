"""Photographs of a folder: as a camera of many pixels would store them, and as views cut from them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.errors import DataError
from vitrail.images.decode import EXTENSIONS, decode

MIN_VIEW = 2_000_000  # pixels
QUALITIES = (75, 95)
SUBSAMPLINGS = (0, 2)  # colours stored for each pixel, or for four at once


@dataclass(frozen=True)
class View:
    """A part of a photograph, stored as a JPEG of its own."""

    photo: str
    jpeg: bytes
    pixels: int


def find_photos(folder: str | Path) -> list[Path]:
    """All images of the folder, by name: the name tells photographs apart."""
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder of photographs at {folder}")
    found = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not found:
        raise DataError(f"there are no photographs in {folder}: it needs JPEG, PNG or WebP files")
    if len({file.stem for file in found}) < len(found):
        raise DataError(f"two photographs in {folder} have one name: rename one of them")
    return found


def large_enough(photos: list[Path], least: int = MIN_VIEW) -> list[Path]:
    """Those from which a view can be cut; at least two, or there is nothing to tell apart."""
    kept = [photo for photo in photos if pixels_of(photo) >= least]
    if len(kept) < 2:
        raise DataError(f"views are cut from 2 photographs or more of {least:,} pixels; here are {len(kept)}")
    return kept


def pixels_of(photo: Path) -> int:
    with Image.open(photo) as image:
        return image.width * image.height


def as_jpeg(image: Image.Image, quality: int, subsampling: int = 2) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()


def from_camera(photo: Path, width: int, height: int, quality: int) -> bytes:
    """The photograph as a JPEG of so many pixels."""
    image = decode(photo.read_bytes())
    return as_jpeg(image.resize((width, height), Image.Resampling.LANCZOS), quality)


def cut_views(photos: list[Path], count: int, seed: int, least: int = MIN_VIEW) -> Iterator[View]:
    """`count` views, as many of each photograph as of any other: place, shape and how it is stored are drawn."""
    shares = [count // len(photos) + (place < count % len(photos)) for place in range(len(photos))]
    for place, (photo, share) in enumerate(zip(photos, shares, strict=True)):
        random = np.random.default_rng([seed, place])
        whole = decode(photo.read_bytes())
        for _ in range(share):
            left, top, width, height = draw_view(whole.size, random, least)
            view = whole.crop((left, top, left + width, top + height))
            jpeg = as_jpeg(view, int(random.integers(*QUALITIES)), int(random.choice(SUBSAMPLINGS)))
            yield View(photo.stem, jpeg, width * height)


def draw_view(sides: tuple[int, int], random: np.random.Generator, least: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a part of at least so many pixels: all sizes, then shapes, then places alike."""
    widest, peak = sides
    pixels = int(random.integers(least, widest * peak, endpoint=True))
    width = int(random.integers(ceil(pixels / peak), widest, endpoint=True))
    height = ceil(pixels / width)
    return int(random.integers(widest - width + 1)), int(random.integers(peak - height + 1)), width, height


def write_views(views: Iterator[View], folder: Path) -> int:
    """As a folder of images with one folder a photograph, which `vitrail fit` reads; says how many."""
    count = 0
    for view in views:
        (folder / view.photo).mkdir(parents=True, exist_ok=True)
        (folder / view.photo / f"{count:06}.jpg").write_bytes(view.jpeg)
        count += 1
    return count
