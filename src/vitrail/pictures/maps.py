"""Small maps side by side: what one place looks at, a row of heads for each layer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELL = 8  # pixels a side for each place
GAP = 6
PAPER = (250, 249, 245)
INK = (23, 55, 94)
PLACE = (232, 163, 61)  # the place that looks


def draw_maps(maps: NDArray[np.float64], place: tuple[int, int]) -> Image.Image:
    """Weights [layers, heads, rows, columns] from one place → an RGB drawing; each map has its own scale."""
    layers, heads, rows, columns = maps.shape
    height, width = rows * CELL, columns * CELL
    sheet = Image.new("RGB", (heads * (width + GAP) + GAP, layers * (height + GAP) + GAP), PAPER)
    for layer in range(layers):
        for head in range(heads):
            drawn = one_map(maps[layer, head], place)
            sheet.paste(drawn, (GAP + head * (width + GAP), GAP + layer * (height + GAP)))
    return sheet


def one_map(weights: NDArray[np.float64], place: tuple[int, int]) -> Image.Image:
    strength = weights / max(float(weights.max()), 1e-12)
    colours = mixed((255, 255, 255), INK, strength)
    cells = colours.repeat(CELL, axis=0).repeat(CELL, axis=1)
    top, left = place[0] * CELL, place[1] * CELL
    frame = np.zeros(cells.shape[:2], bool)
    frame[top : top + CELL, left : left + CELL] = True
    frame[top + 1 : top + CELL - 1, left + 1 : left + CELL - 1] = False
    cells[frame] = PLACE
    return Image.fromarray(cells)


def mixed(low: Sequence[int], high: Sequence[int], share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours between two, [h, w, 3]."""
    low_, high_ = np.array(low, float), np.array(high, float)
    return np.rint(low_ + (high_ - low_) * share[..., None]).astype(np.uint8)
