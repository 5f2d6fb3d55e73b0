"""A dot plot: the mean attention distance of each head in each layer."""

import numpy as np
from numpy.typing import NDArray

from vitrail.plots.heat import colours_of
from vitrail.plots.page import CAPTION, FAINT, MUTED, Page

RADIUS = 5
NUMBER = 26  # room for a number below the plot
LEFT, BELOW = 36, 30  # room for the numbers at the axes


def plot_distances(
    page: Page, corner: tuple[int, int], size: tuple[int, int], values: NDArray[np.float32], even: float
) -> None:
    """Distances [layers, heads] as dots over their layer; a dashed line at `even`, that of uniform attention."""
    (left, top), (width, height) = corner, size
    left, width, height = left + LEFT, width - LEFT, height - BELOW
    furthest = max(float(values.max()), even, 1.0)
    step = tick_step(furthest)
    most = step * np.ceil(1.05 * furthest / step)
    layers, heads = values.shape
    every = -(-NUMBER * layers // width)  # layer has its number

    def down(distance: float) -> float:
        return float(top + height * (1 - distance / most))

    for tick in np.arange(0, most + step / 2, step):
        page.pen.line([(left, down(float(tick))), (left + width, down(float(tick)))], FAINT)
        page.write((left - 8, down(float(tick))), f"{tick:g}", CAPTION, MUTED, "rm")
    for across in range(left, left + width - 6, 12):
        page.pen.line([(across, down(even)), (across + 6, down(even))], MUTED)
    for layer in range(layers):
        across = left + width * (layer + 0.5) / layers
        if layer % every == 0:
            page.write((across, top + height + 10), str(layer + 1), CAPTION, MUTED, "ma")
        for head, distance in enumerate(values[layer]):
            place = across + 2.2 * RADIUS * (head - (heads - 1) / 2) * min(1, width / layers / (3 * RADIUS * heads))
            page.dot((place, down(float(distance))), RADIUS, head_colour(head, heads))


def head_colour(head: int, heads: int) -> tuple[int, int, int]:
    """One colour a head, without the ends of the colour map, which do not show on the background."""
    red, green, blue = colours_of(np.array(0.2 + 0.6 * head / max(1, heads - 1)))
    return round(red), round(green), round(blue)


def tick_step(most: float) -> float:
    """1, 2 or 5 of some power of ten: three to seven ticks up to `most`."""
    power = 10.0 ** np.floor(np.log10(most / 3))
    return float(power * max(unit for unit in (1, 2, 5) if unit * power <= most / 3))
