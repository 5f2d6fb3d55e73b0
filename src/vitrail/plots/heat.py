"""Heat maps: numbers between zero and a maximum as colours."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Evenly spaced; each lighter than the one before, so that the map also reads in greyscale.
COLOUR_STOPS = ((24, 26, 32), (58, 44, 98), (134, 52, 110), (208, 80, 76), (248, 156, 58), (255, 236, 168))


def draw_heat(values: NDArray[np.float32], scale: int) -> Image.Image:
    """Values [h, w], none below zero → each a square of `scale` pixels, the largest the lightest."""
    largest = float(values.max())
    share = values / largest if largest > 0 else np.zeros_like(values)
    colours = colours_of(share).repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def colours_of(share: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares [...] between 0 and 1 → colours [..., 3]."""
    stops = np.linspace(0, 1, len(COLOUR_STOPS))
    return np.stack([np.interp(share, stops, channel) for channel in zip(*COLOUR_STOPS, strict=True)], axis=-1)
