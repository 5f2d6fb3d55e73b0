"""Golden images: drawn from a written integer recipe, so that any language can draw the same."""

import numpy as np
from numpy.typing import NDArray

# mosaic-1: image k has 2^(k+1) × 2^(k+1) panes. The state starts at k + 1; each colour byte takes
# state = (1664525 * state + 1013904223) mod 2^32 and is state >> 24; panes run row by row, red, green, blue.
# Pixel (row, column) of a height × width image lies in pane (row * panes // height, column * panes // width).
RECIPE = "mosaic-1"
PANES = (2, 4, 8, 16)


def mosaic(panes: int, seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """One golden image, uint8 [height, width, 3]: panes of flat colour, like a stained-glass window."""
    state = seed
    colours = []
    for _ in range(panes * panes * 3):
        state = (1664525 * state + 1013904223) % 2**32
        colours.append(state >> 24)
    glass = np.array(colours, np.uint8).reshape(panes, panes, 3)
    rows = np.arange(height) * panes // height
    columns = np.arange(width) * panes // width
    return glass[rows][:, columns]


def golden_images(size: int) -> list[NDArray[np.uint8]]:
    """The golden images of a model with this canvas: four canvases, then one that the graph must resize."""
    canvases = [mosaic(panes, k + 1, size, size) for k, panes in enumerate(PANES)]
    return [*canvases, mosaic(4, len(PANES) + 1, size * 3 // 2 + 1, size * 2)]
