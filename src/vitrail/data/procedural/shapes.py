"""The set `shapes`: one of five shapes of equal area, anywhere, of any orientation; its outline alone tells which."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitrail.data.draws import Draws
from vitrail.data.procedural.generator import Generator, Grey

SIDE = 32
SIZES = (8.0, 12.0)  # pixels, the side of the square of equal area
REACH = 0.88  # of the triangle, the longest shape, from its centre; in sizes
LEVELS = (48.0, 207.0)  # grey of the ground
CONTRAST = (48.0, 120.0)
NOISE = 12.0  # grey levels, at most

Floats = NDArray[np.float64]


def draw(draws: Draws, labels: NDArray[np.int64]) -> Grey:
    """Images [B, SIDE, SIDE]: an antialiased shape, lighter or darker than its ground, in uniform noise."""
    numbers = draws.fork(0).uniform(7)
    size, ground, contrast = (
        low + (high - low) * numbers[:, i] for i, (low, high) in enumerate((SIZES, LEVELS, CONTRAST))
    )
    turn, is_dark = 2 * np.pi * numbers[:, 3], numbers[:, 4] < 0.5
    margin = REACH * size[:, None] + 1
    centre = margin + numbers[:, 5:] * (SIDE - 2 * margin)
    x, y = turned(centre, turn, size)
    cover = np.empty_like(x)
    for label, distance in enumerate(DISTANCES.values()):
        rows = labels == label
        cover[rows] = np.clip(0.5 - size[rows, None, None] * distance(x[rows], y[rows]), 0, 1)
    height = np.where(is_dark, -contrast, contrast)[:, None, None]
    noise = NOISE * (2 * draws.fork(1).uniform(SIDE**2).reshape(-1, SIDE, SIDE) - 1)
    return np.clip(np.round(ground[:, None, None] + height * cover + noise), 0, 255).astype(np.uint8)


def turned(centre: Floats, turn: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The coordinates of every pixel in the shape's own frame, in sizes, [B, SIDE, SIDE] each."""
    pixels = np.arange(SIDE) + 0.5
    across = (pixels[None, None, :] - centre[:, 0, None, None]) / size[:, None, None]
    down = (pixels[None, :, None] - centre[:, 1, None, None]) / size[:, None, None]
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    return cos * across + sin * down, cos * down - sin * across


# Signed distances to the outlines of shapes of area 1, negative inside.


def disc(x: Floats, y: Floats) -> Floats:
    out: Floats = np.hypot(x, y) - np.pi**-0.5
    return out


def square(x: Floats, y: Floats) -> Floats:
    return box(x, y, 0.5, 0.5)


def triangle(x: Floats, y: Floats) -> Floats:
    """Equilateral: of apothem r it has the area 3√3 r²."""
    out: Floats = np.maximum(np.maximum(x * 3**0.5 / 2 + y / 2, -x * 3**0.5 / 2 + y / 2), -y) - 27**-0.25
    return out


def plus(x: Floats, y: Floats) -> Floats:
    """Two bars of 2a × 2a/3, of area 20a²/9 together."""
    a = (9 / 20) ** 0.5
    out: Floats = np.minimum(box(x, y, a, a / 3), box(x, y, a / 3, a))
    return out


def ring(x: Floats, y: Floats) -> Floats:
    """Half as wide as its radius r: from 3r/4 to 5r/4, of area πr²."""
    r = np.pi**-0.5
    out: Floats = np.abs(np.hypot(x, y) - r) - r / 4
    return out


def box(x: Floats, y: Floats, across: float, down: float) -> Floats:
    out: Floats = np.maximum(np.abs(x) - across, np.abs(y) - down)
    return out


DISTANCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": disc,
    "square": square,
    "triangle": triangle,
    "plus": plus,
    "ring": ring,
}

SHAPES = Generator("shapes", 1, tuple(DISTANCES), draw)
