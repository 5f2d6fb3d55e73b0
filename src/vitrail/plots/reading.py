"""A sequence that is read in an image, step by step: where the network looks for each label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.plots.inspection import BELOW, TILE, TOP, across, draw_tile
from vitrail.plots.overlay import draw_overlay
from vitrail.plots.page import CAPTION, MARGIN, MUTED, TITLE, Page

LEGEND = "Cross-attention at each place, the mean of all layers and heads; each map has its own scale."


@dataclass(frozen=True)
class Step:
    """A label, or the end, how probable it is, and the attention to each cell, [h, w]."""

    label: str
    probability: float
    attention: NDArray[np.float32]


def draw_reading(name: str, canvas: NDArray[np.uint8], steps: Sequence[Step]) -> Image.Image:
    """The image, and beside it a tile for each step."""
    page = Page(across(1 + len(steps)), TOP + TILE + BELOW)
    inside = page.width - 2 * MARGIN
    page.write((MARGIN, MARGIN), f"{name}: {' '.join(step.label for step in steps)}", TITLE, width=inside)
    page.write((MARGIN, MARGIN + 40), LEGEND, CAPTION, MUTED, width=inside)
    height, width, _ = canvas.shape
    draw_tile(page, 0, Image.fromarray(canvas), "Input of the network", f"{width} by {height} pixels")
    for column, step in enumerate(steps, start=1):
        overlay = draw_overlay(canvas, step.attention)
        draw_tile(page, column, overlay, f"Step {column}: {step.label}", f"probability {step.probability:.2f}")
    return page.image
