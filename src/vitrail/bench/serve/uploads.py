"""Seeded synthetic photographs as JPEG files, of a typical upload's size."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COUNT = 32  # sent in turn, so that no server benefits from a cache
QUALITY = 90


def uploads(canvas: int, seed: int) -> list[bytes]:
    """Images of 4 : 3 whose shorter side is twice the canvas: 597 × 448 for a canvas of 224."""
    height = 2 * canvas
    random = np.random.default_rng(seed)
    return [encoded(clouds(random, height, height * 4 // 3)) for _ in range(COUNT)]


def clouds(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Large soft shapes with fine grain, uint8 [height, width, 3]: its JPEG is about as large as a photograph's."""
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    grain = random.normal(0, 4, (height, width, 1)).astype(np.float32)
    pixels: NDArray[np.uint8] = np.clip(soft + grain, 0, 255).astype(np.uint8)
    return pixels


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
