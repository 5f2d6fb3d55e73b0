"""Weighted least squares of one law to many curves at once, its two coefficients never negative."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.curves.laws import Law
from vitrail.training.curves.outcomes import Floats


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
    """Of [G, 2, S] shapes the pair nearest to each of curves [D, S], and its coefficients [D, 2], both ≥ 0.

    With u and v the coefficients and s, t inner products, what a solution takes off the sum of squares is u·t₁ + v·t₂.
    Where the unconstrained solution has a negative part, one of the two shapes alone is best.
    """
    u, v = shapes[:, 0], shapes[:, 1]  # [G, S]
    uu, uv, vv = (u * u) @ weight, (u * v) @ weight, (v * v) @ weight  # [G]
    weighted = curves * weight
    tu, tv = weighted @ u.T, weighted @ v.T  # [D, G]
    apart = uu * vv - uv**2
    apart = np.where(apart > 1e-12 * uu * vv, apart, np.inf)  # shapes that are one and the same cannot share
    both_u, both_v = (vv * tu - uv * tv) / apart, (uu * tv - uv * tu) / apart
    alone_u, alone_v = np.maximum(tu, 0) / uu, np.maximum(tv, 0) / vv
    gain_u, gain_v = alone_u * tu, alone_v * tv
    gain = np.where((both_u >= 0) & (both_v >= 0), both_u * tu + both_v * tv, np.maximum(gain_u, gain_v))
    choice = gain.argmax(axis=1)
    row = np.arange(len(curves))
    picked = (row, choice)
    inside = (both_u[picked] >= 0) & (both_v[picked] >= 0) & np.isfinite(apart[choice])
    first = gain_u[picked] >= gain_v[picked]
    coefficients = np.where(
        inside[:, None],
        np.stack([both_u[picked], both_v[picked]], axis=1),
        np.stack([np.where(first, alone_u[picked], 0), np.where(first, 0, alone_v[picked])], axis=1),
    )
    return choice, coefficients
