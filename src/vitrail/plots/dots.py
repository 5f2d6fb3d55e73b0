"""A dot plot: how far each head of each layer looks."""

import numpy as np
from numpy.typing import NDArray

from vitrail.plots.heat import lights
from vitrail.plots.page import CAPTION, FAINT, PENCIL, Page

RADIUS = 5
NUMBER = 26  # room for a number below the plot
LEFT, BELOW = 36, 30  # room for the numbers at the axes


def plot_distances(
    page: Page, corner: tuple[int, int], size: tuple[int, int], found: NDArray[np.float32], even: float
) -> None:
    """Distances [layers, heads] as dots over their layer; a dashed line where one that sees all alike would lie."""
    (left, top), (width, height) = corner, size
    left, width, height = left + LEFT, width - LEFT, height - BELOW
    furthest = max(float(found.max()), even, 1.0)
    step = tick_step(furthest)
    most = step * np.ceil(1.05 * furthest / step)
    layers, heads = found.shape
    every = -(-NUMBER * layers // width)  # layer has its number

    def down(distance: float) -> float:
        return float(top + height * (1 - distance / most))

    for tick in np.arange(0, most + step / 2, step):
        page.pen.line([(left, down(float(tick))), (left + width, down(float(tick)))], FAINT)
        page.write((left - 8, down(float(tick))), f"{tick:g}", CAPTION, PENCIL, "rm")
    for across in range(left, left + width - 6, 12):
        page.pen.line([(across, down(even)), (across + 6, down(even))], PENCIL)
    for layer in range(layers):
        across = left + width * (layer + 0.5) / layers
        if layer % every == 0:
            page.write((across, top + height + 10), str(layer + 1), CAPTION, PENCIL, "ma")
        for head, distance in enumerate(found[layer]):
            place = across + 2.2 * RADIUS * (head - (heads - 1) / 2) * min(1, width / layers / (3 * RADIUS * heads))
            page.dot((place, down(float(distance))), RADIUS, head_colour(head, heads))


def head_colour(head: int, heads: int) -> tuple[int, int, int]:
    """Each head's own, from the dark to the light end of the lights, neither of which is seen on paper."""
    red, green, blue = lights(np.array(0.2 + 0.6 * head / max(1, heads - 1)))
    return round(red), round(green), round(blue)


def tick_step(most: float) -> float:
    """1, 2 or 5 of some power of ten: three to seven ticks up to `most`."""
    power = 10.0 ** np.floor(np.log10(most / 3))
    return float(power * max(unit for unit in (1, 2, 5) if unit * power <= most / 3))
