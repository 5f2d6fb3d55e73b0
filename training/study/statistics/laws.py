"""The four laws of error against labelled images, each linear once its non-linear parameters are chosen.

x = n / N, with N the largest size measured. Non-linear parameters lie on a fixed grid: a fit solves a small linear
problem for every point of the grid and keeps the best, vectorised over thousands of curves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats


@dataclass(frozen=True)
class Law:
    """error = u·shape₁ + v·shape₂ with u, v ≥ 0; a logarithmic one: log error = level + u·shape₁ + v·shape₂."""

    name: str
    formula: str
    numbers: tuple[str, ...]  # what `grid` chooses
    coefficients: tuple[str, str]  # u and v
    shapes: Callable[[Floats, Floats], Floats]  # x [N], grid [G, k] → [G, 2, N]
    grid: Callable[[float], Floats]  # smallest x → [G, k]
    min_sizes: int
    logarithmic: bool = False


def mesh(*axes: Floats) -> Floats:
    """All combinations of one value an axis, [G, k]."""
    return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)


def above_limit(shape: Floats) -> Floats:
    """A constant, and a shape that falls towards it: [G, N] → [G, 2, N]."""
    return np.stack([np.ones_like(shape), shape], axis=1)


def power(x: Floats, grid: Floats) -> Floats:
    return above_limit(x ** -grid[:, :1])


def shifted_power(x: Floats, grid: Floats) -> Floats:
    shift, exponent = grid[:, :1], grid[:, 1:]
    return above_limit(((x + shift) / (1 + shift)) ** -exponent)


def sigmoid(x: Floats, grid: Floats) -> Floats:
    middle, steepness = grid[:, :1], grid[:, 1:]
    return above_limit((1 + (1 / middle) ** steepness) / (1 + (x / middle) ** steepness))


def broken_line(x: Floats, grid: Floats) -> Floats:
    before, after = np.log(np.minimum(x, grid)), np.log(np.maximum(x / grid, 1))
    return np.stack([-before, -after], axis=1)


POW3 = Law(
    "POW3",
    "c + a·x^−b",
    ("b",),
    ("c", "a"),
    power,
    lambda first: mesh(np.geomspace(0.05, 3.2, 61)),
    min_sizes=3,
)
POW4 = Law(
    "POW4",
    "c + a·((x + d) / (1 + d))^−b",
    ("d", "b"),
    ("c", "a"),
    shifted_power,
    lambda first: mesh(first * np.array([-0.7, -0.4, 0.0, 0.7, 2.0, 5.0, 12.0, 30.0]), np.geomspace(0.1, 6.4, 25)),
    min_sizes=4,
)
MMF4 = Law(
    "MMF4",
    "c + a·(1 + m^−d) / (1 + (x/m)^d)",
    ("m", "d"),
    ("c", "a"),
    sigmoid,
    lambda first: mesh(np.geomspace(first, 3.0, 30), np.geomspace(0.4, 4.8, 21)),
    min_sizes=4,
)
PIECEWISE = Law(
    "piecewise",
    "a·x^−b up to x = k, from there on with −d in place of −b",
    ("k",),
    ("b", "d"),
    broken_line,
    # With less than a fifth of the range on either side a piece would depend on one size.
    lambda first: mesh(first ** np.linspace(0.8, 0.2, 13)),
    min_sizes=4,
    logarithmic=True,
)
LAWS = (POW3, POW4, MMF4, PIECEWISE)
