"""An image drawn as its patches, with gaps between them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.errors import UsageError

GAP_COLOUR = (24, 26, 32)  # between patches
SIDE = 896  # approximate side of the drawing in pixels


def panes(canvas: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """Canvas [size, size, 3] → patches [rows, columns, patch, patch, 3]."""
    size = len(canvas)
    if not 1 <= patch <= size or size % patch:
        raise UsageError(f"patches of {patch} do not divide a canvas of {size}: choose a patch that does")
    count = size // patch
    return canvas.reshape(count, patch, count, patch, 3).swapaxes(1, 2)


def draw_patches(canvas: NDArray[np.uint8], patch: int) -> Image.Image:
    """Every patch enlarged without smoothing, with gaps between them."""
    cut = panes(canvas, patch)
    count = len(cut)
    scale = max(1, SIDE // len(canvas))
    pane = patch * scale
    gap = max(1, pane // 14)
    side = count * pane + (count + 1) * gap
    window = np.full((side, side, 3), GAP_COLOUR, np.uint8)
    for row in range(count):
        for column in range(count):
            top, left = (gap + place * (pane + gap) for place in (row, column))
            enlarged = cut[row, column].repeat(scale, axis=0).repeat(scale, axis=1)
            window[top : top + pane, left : left + pane] = enlarged
    return Image.fromarray(window)
