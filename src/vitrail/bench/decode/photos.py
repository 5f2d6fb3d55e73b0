"""Photographs of a folder: at a camera's resolution, and as views cut from them."""

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
    """All images of the folder in the order of their names, which are their labels."""
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder of photographs at {folder}")
    photos = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not photos:
        raise DataError(f"there are no photographs in {folder}: it needs JPEG, PNG or WebP files")
    if len({file.stem for file in photos}) < len(photos):
        raise DataError(f"two photographs in {folder} have one name: rename one of them")
    return photos


def large_enough(photos: list[Path], least: int = MIN_VIEW) -> list[Path]:
    """Photographs from which a view can be cut; at least two, as a model tells them apart."""
    large = [photo for photo in photos if pixels_of(photo) >= least]
    if len(large) < 2:
        raise DataError(f"views are cut from 2 photographs or more of {least:,} pixels; here are {len(large)}")
    return large


def pixels_of(photo: Path) -> int:
    with Image.open(photo) as image:
        return image.width * image.height


def as_jpeg(image: Image.Image, quality: int, subsampling: int = 2) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()


def from_camera(photo: Path, width: int, height: int, quality: int) -> bytes:
    """The photograph as a JPEG of this size."""
    image = decode(photo.read_bytes())
    return as_jpeg(image.resize((width, height), Image.Resampling.LANCZOS), quality)


def cut_views(photos: list[Path], count: int, seed: int, least: int = MIN_VIEW) -> Iterator[View]:
    """`count` views, equally many of each photograph, at random positions, shapes and JPEG settings."""
    shares = [count // len(photos) + (index < count % len(photos)) for index in range(len(photos))]
    for index, (photo, share) in enumerate(zip(photos, shares, strict=True)):
        random = np.random.default_rng([seed, index])
        whole = decode(photo.read_bytes())
        for _ in range(share):
            left, top, width, height = draw_view(whole.size, random, least)
            view = whole.crop((left, top, left + width, top + height))
            jpeg = as_jpeg(view, int(random.integers(*QUALITIES)), int(random.choice(SUBSAMPLINGS)))
            yield View(photo.stem, jpeg, width * height)


def draw_view(sides: tuple[int, int], random: np.random.Generator, least: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a part of at least `least` pixels: uniform in size, then shape, then position."""
    widest, peak = sides
    pixels = int(random.integers(least, widest * peak, endpoint=True))
    width = int(random.integers(ceil(pixels / peak), widest, endpoint=True))
    height = ceil(pixels / width)
    return int(random.integers(widest - width + 1)), int(random.integers(peak - height + 1)), width, height


def write_views(views: Iterator[View], folder: Path) -> int:
    """Write a data folder for `vitrail fit`, one class a photograph; returns the number of views."""
    count = 0
    for view in views:
        (folder / view.photo).mkdir(parents=True, exist_ok=True)
        (folder / view.photo / f"{count:06}.jpg").write_bytes(view.jpeg)
        count += 1
    return count
