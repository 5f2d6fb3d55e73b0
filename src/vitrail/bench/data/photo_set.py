"""Photos to train on: a folder in parts and two classes, of real photographs or of noise that compresses like them."""

from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.bench.decode.photos import as_jpeg, find_photos, from_camera

HELD_OUT = 4  # photos of each other part, so that nearly all are trained on
NOISES = 8  # different photos of noise
FINEST, COARSEST = 4, 64  # grey levels from one cell of the noise to the next
MIDDLE = 128


def write_photo_set(folder: Path, images: int, jpegs: Iterator[bytes]) -> None:
    """`images` to train on, and a few of the other parts."""
    for index, part in enumerate([*["train"] * images, *["val"] * HELD_OUT, *["test"] * HELD_OUT]):
        file = folder / part / f"class {index % 2}" / f"{index:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(next(jpegs) + str(index).encode())  # bytes after its end, so that no two files are the same


def photographs(folder: str, width: int, height: int) -> Iterator[bytes]:
    """JPEGs of one size of the photographs of a folder, again and again at other qualities."""
    photos = find_photos(folder)
    for index in count():
        yield from_camera(photos[index % len(photos)], width, height, 80 + index % 15)


def noise(width: int, height: int, seed: int) -> Iterator[bytes]:
    """JPEGs of noise, again and again."""
    random = np.random.default_rng(seed)
    return cycle([as_jpeg(noise_photo(random, width, height), 85) for _ in range(NOISES)])


def noise_photo(random: np.random.Generator, width: int, height: int) -> Image.Image:
    """Noise of all sizes: the larger its cells, the stronger, as in photographs."""
    pixels = np.full((height, width, 3), MIDDLE, np.float32)
    cell = 1
    while (strength := FINEST * cell) <= COARSEST:
        across, down = max(1, width // cell), max(1, height // cell)
        coarse = MIDDLE + strength * random.standard_normal((down, across, 3), np.float32)
        image = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
        pixels += np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32) - MIDDLE
        cell *= 2
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
