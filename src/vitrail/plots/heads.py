"""Attention in every head of every layer: the attention of one token, and the mean attention distance of each head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.model_file.explanation import Attention
from vitrail.plots.attention import distances, mean_distance, rollout
from vitrail.plots.dots import head_colour, plot_distances
from vitrail.plots.heat import draw_heat
from vitrail.plots.page import CAPTION, GAP, HEADING, MARGIN, MUTED, Page

WIDTH = 1000  # that maps may take, where they do not become too small for it
LARGEST, SMALLEST = 160, 40  # about the side of a map
BESIDE = 82  # room for the names of heads
ABOVE = 86  # room for the headings above the maps
BETWEEN = 6
PLOT_WIDTH = 360
PLOT_HEIGHT = 240, 640  # least and most
DOT = 5


@dataclass(frozen=True)
class Query:
    """The token whose attention is drawn: a patch at `cell` (row, column), or a prefix token."""

    token: int
    cell: tuple[int, int] | None
    caption: str


class Heads:
    """The part of the page with maps [layers, heads, T, T] and distances."""

    def __init__(self, attention: NDArray[np.float32], axes: Attention, query: Query) -> None:
        self.attention, self.axes, self.query = attention, axes, query
        side = min(LARGEST, (WIDTH - BESIDE) // axes.layers - BETWEEN)
        self.scale = max(side // max(axes.grid), -(-SMALLEST // max(axes.grid)))  # pixels a side of a cell
        self.step = self.scale * max(axes.grid) + BETWEEN
        self.maps = axes.layers * self.step - BETWEEN, axes.heads * self.step - BETWEEN  # width and height
        least, most = PLOT_HEIGHT
        self.plot_height = min(most, max(least, self.maps[1]))

    @property
    def width(self) -> int:
        """The least width of a page with all of it."""
        return MARGIN + BESIDE + self.maps[0] + GAP + PLOT_WIDTH + MARGIN

    @property
    def height(self) -> int:
        return ABOVE + max(self.maps[1], self.plot_height) + MARGIN

    def draw(self, page: Page, top: int) -> None:
        self.draw_maps(page, top)
        left = MARGIN + BESIDE + self.maps[0] + 2 * GAP
        page.write((left, top), "Mean attention distance of each head", HEADING)
        caption = "in patches; dashed: uniform attention"
        width = page.width - MARGIN - left
        page.write((left, top + 28), caption, CAPTION, MUTED, width=width)
        mean_distances = mean_distance(self.attention, self.axes.prefix, self.axes.grid)
        even = float(distances(self.axes.grid).mean())
        plot_distances(page, (left, top + ABOVE), (width, self.plot_height), mean_distances, even)

    def draw_maps(self, page: Page, top: int) -> None:
        """Layers side by side, heads below each other."""
        page.write((MARGIN, top), "Attention of each head", HEADING)
        page.write((MARGIN, top + 28), self.query.caption, CAPTION, MUTED, width=BESIDE + self.maps[0])
        left, top = MARGIN + BESIDE, top + ABOVE
        middle = (self.step - BETWEEN) / 2
        page.write((left - 10, top - 10), "layer", CAPTION, MUTED, "rs")
        for layer in range(self.axes.layers):
            page.write((left + layer * self.step + middle, top - 10), str(layer + 1), CAPTION, MUTED, "ms")
        for head in range(self.axes.heads):
            down = top + head * self.step
            page.dot((MARGIN + DOT, down + middle), DOT, head_colour(head, self.axes.heads))
            page.write((left - 10, down + middle), f"head {head + 1}", CAPTION, MUTED, "rm")
            for layer in range(self.axes.layers):
                self.draw_map(page, layer, head, (left + layer * self.step, down))

    def draw_map(self, page: Page, layer: int, head: int, corner: tuple[int, int]) -> None:
        weights = self.on_grid(self.attention[layer, head, self.query.token])
        page.put(corner, draw_heat(weights, self.scale))
        if self.query.cell is not None:
            row, column = self.query.cell
            page.outline((corner[0] + column * self.scale, corner[1] + row * self.scale), self.scale)

    def rollout(self, side: int) -> Image.Image:
        """Attention rollout to the token, or the mean of tokens, that the head reads; about `side` pixels a side."""
        arrived, first = rollout(self.attention), self.axes.prefix
        row = arrived[self.query.token] if self.query.cell is None else arrived[first:].mean(axis=0)
        return draw_heat(self.on_grid(row), max(1, side // max(self.axes.grid)))

    def rollout_caption(self) -> str:
        return f"what reaches {'the class token' if self.query.cell is None else 'the mean of all cells'}"

    def on_grid(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """Attention of one token, [T], without the prefix tokens: [h, w]"""
        return row[self.axes.prefix :].reshape(self.axes.grid)
