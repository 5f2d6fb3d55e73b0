"""Weighted least squares of one law to many curves at once, its two coefficients never negative."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.curves.laws import Law
from vitrail.training.curves.outcomes import Floats

BLOCK = 64  # curves at a time, so that what is looked at stays in the processor's cache


@dataclass(frozen=True)
class Fits:
    """One law fitted to D curves."""

    law: Law
    grid: Floats  # [G, k]
    choice: NDArray[np.int64]  # [D]: which point of the grid
    level: Floats  # [D]: of a logarithmic law, else 0
    coefficients: Floats  # [D, 2]

    def of(self, rows: NDArray[np.int64]) -> "Fits":
        """The fits of some of the curves."""
        return Fits(self.law, self.grid, self.choice[rows], self.level[rows], self.coefficients[rows])

    def at(self, x: Floats) -> Floats:
        """Errors at x [N], never above 1: [D, N]."""
        shapes = self.law.shapes(x, self.grid[self.choice])  # [D, 2, N]
        value = np.einsum("dk,dkn->dn", self.coefficients, shapes) + self.level[:, None]
        return np.asarray(np.minimum(np.exp(value) if self.law.logarithmic else value, 1.0))

    def numbers(self, curve: int) -> dict[str, float]:
        """What the law's letters are for one curve."""
        found = dict(zip(self.law.numbers, self.grid[self.choice[curve]].tolist(), strict=True))
        found |= dict(zip(self.law.coefficients, self.coefficients[curve].tolist(), strict=True))
        return found | ({"a": float(np.exp(self.level[curve]))} if self.law.logarithmic else {})


def fit(law: Law, x: Floats, errors: Floats, variance: Floats) -> Fits:
    """The law's best fit to each of errors [D, S] at x [S], with the variances [S] of these errors."""
    grid = law.grid(float(x.min()))
    shapes = law.shapes(x, grid)  # [G, 2, S]
    level = np.zeros(len(errors))
    if not law.logarithmic:
        choice, coefficients = least_squares(shapes, errors, 1 / variance)
        return Fits(law, grid, choice, level, coefficients)
    mean = errors.mean(axis=0)
    weight = mean**2 / variance  # of log errors
    share = weight / weight.sum()
    target = np.log(errors)
    middle, centre = target @ share, shapes @ share  # [D], [G, 2]
    choice, coefficients = least_squares(shapes - centre[:, :, None], target - middle[:, None], weight)
    level = middle - (centre[choice] * coefficients).sum(axis=1)
    return Fits(law, grid, choice, level, coefficients)


def least_squares(shapes: Floats, curves: Floats, weight: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Of [G, 2, S] shapes the pair nearest to each of curves [D, S], and its coefficients [D, 2], both ≥ 0."""
    u, v = shapes[:, 0], shapes[:, 1]  # [G, S]
    own = (u * u) @ weight, (u * v) @ weight, (v * v) @ weight  # [G] each
    weighted = curves * weight
    blocks = [slice(start, start + BLOCK) for start in range(0, len(curves), BLOCK)]
    choice = np.concatenate([gains(*own, weighted[one] @ u.T, weighted[one] @ v.T).argmax(axis=1) for one in blocks])
    tu, tv = (weighted * u[choice]).sum(axis=1), (weighted * v[choice]).sum(axis=1)  # [D]
    return choice, coefficients(*(one[choice] for one in own), tu, tv)


def gains(uu: Floats, uv: Floats, vv: Floats, tu: Floats, tv: Floats) -> Floats:
    """What each pair takes off the sum of squares, [D, G], from inner products of its shapes, and with the curves."""
    both_u, both_v = vv * tu - uv * tv, uu * tv - uv * tu
    both = (both_u * tu + both_v * tv) / determinant(uu, uv, vv)
    alone = np.maximum(np.maximum(tu, 0) ** 2 / uu, np.maximum(tv, 0) ** 2 / vv)
    return np.where((both_u >= 0) & (both_v >= 0), both, alone)


def coefficients(uu: Floats, uv: Floats, vv: Floats, tu: Floats, tv: Floats) -> Floats:
    """The coefficients of one pair for each curve, [D, 2]; where one would be negative, the better shape alone."""
    apart = determinant(uu, uv, vv)
    both = np.stack([(vv * tu - uv * tv) / apart, (uu * tv - uv * tu) / apart], axis=1)
    alone_u, alone_v = np.maximum(tu, 0) / uu, np.maximum(tv, 0) / vv
    first = alone_u * tu >= alone_v * tv
    alone = np.stack([np.where(first, alone_u, 0), np.where(first, 0, alone_v)], axis=1)
    inside = (both >= 0).all(axis=1) & np.isfinite(apart)
    return np.where(inside[:, None], both, alone)


def determinant(uu: Floats, uv: Floats, vv: Floats) -> Floats:
    """Infinite where two shapes are as good as one: then they take nothing off together."""
    apart = uu * vv - uv**2
    return np.where(apart > 1e-12 * uu * vv, apart, np.inf)
