"""Small maps side by side: the attention of one patch, a row of heads for each layer."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitrail.plots.heat import draw_heat

CELL = 8  # pixels a side for each cell
GAP = 6
PAPER = (250, 249, 245)
FRAME = (120, 200, 255)  # around the query patch


def draw_maps(maps: NDArray[np.float32], cell: tuple[int, int]) -> Image.Image:
    """Weights [layers, heads, rows, columns] from one cell → an RGB drawing; each map has its own scale."""
    layers, heads, rows, columns = maps.shape
    height, width = rows * CELL, columns * CELL
    sheet = Image.new("RGB", (heads * (width + GAP) + GAP, layers * (height + GAP) + GAP), PAPER)
    top, left = cell[0] * CELL, cell[1] * CELL
    for layer in range(layers):
        for head in range(heads):
            drawn = draw_heat(maps[layer, head], CELL)
            ImageDraw.Draw(drawn).rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=FRAME)
            sheet.paste(drawn, (GAP + head * (width + GAP), GAP + layer * (height + GAP)))
    return sheet
