"""The sets `pathfinder`: are two discs on the same dashed line, among others? After Linsley et al., 2018."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitrail.data.draws import Draws
from vitrail.data.procedural.generator import Generator, Grey
from vitrail.data.procedural.snakes import Floats, Ints, Rules, Snakes, around, differences, lay, moved

CLASSES = ("apart", "connected")

# Side, padding, margin, length, thickness, seed distance, disc, continuity, clutter, dashes. More dashes than these
# seldom find room.
SIZES = (
    Rules(32, 1, 1, 2, 0.5, 7, 1.5, 1.0, 20, 6),
    Rules(64, 1, 1, 5, 1.0, 12, 2.5, 1.8, 22, 9),
    Rules(128, 1, 2, 5, 1.5, 20, 3.0, 1.8, 35, 14),
)
DASHES = (6, 9, 14)


def draw(rules: Rules, draws: Draws, labels: NDArray[np.int64]) -> Grey:
    """Images [B, side, side], white on black. The snakes are drawn alike for both classes; the discs are not."""
    snakes = lay(draws.fork(0), rules)
    ink = np.zeros((len(labels), rules.side, rules.side))
    for index in range(rules.most):
        rows = np.flatnonzero(index < snakes.counts)
        paint(ink, rows, *snakes.take(rows, np.array(index)), rules.length, rules.thickness / 2)
    for point in discs(snakes, rules, labels):
        paint(ink, np.arange(len(labels)), point, np.zeros(len(labels)), 0, rules.disc)
    return np.rint(255 * ink).astype(np.uint8)


def discs(snakes: Snakes, rules: Rules, labels: Ints) -> tuple[Floats, Floats]:
    """Where one snake of the pair begins, and where it, or the other one, ends; [B, 2] each.

    It is the one whose two distances are more alike, or the distance would tell the class of nine images in ten.
    """
    rows = np.arange(len(labels))
    one = differences(snakes, rows, rules).argmin(axis=1)
    other = np.where(labels == 1, one, 1 - one)
    begin, _ = snakes.take(rows, one)
    return begin, moved(*snakes.take(rows, rules.pair - 2 + other), rules.length)


def paint(ink: Floats, rows: Ints, start: Floats, angle: Floats, length: float, radius: float) -> None:
    """Antialiased lines with round ends, one in each of these images."""
    down, across, distance = around(start, angle, length, radius + 1)
    cover = np.clip(radius + 0.5 - distance, 0, 1)
    image, _, _ = np.nonzero(cover)
    shown = cover > 0
    place = rows[image], down[shown], across[shown]
    ink[place] = np.maximum(ink[place], cover[shown])


def pathfinders() -> Iterator[Generator]:
    for size in SIZES:
        for dashes in DASHES:
            if dashes <= size.dashes:
                rules = replace(size, dashes=dashes)
                yield Generator(f"pathfinder-{size.side}-{dashes}", 1, CLASSES, partial(draw, rules))


PATHFINDERS = tuple(pathfinders())
