"""Weighted least squares of one law to many curves at once, its two coefficients never negative."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.laws import Law
from vitrail.training.study.statistics.outcomes import Floats

BLOCK = 64  # curves at a time, so that intermediate arrays fit the processor's cache


@dataclass(frozen=True)
class Fits:
    """One law fitted to D curves."""

    law: Law
    grid: Floats  # [G, k]
    choice: NDArray[np.int64]  # [D]: which point of the grid
    level: Floats  # [D]: of a logarithmic law, else 0
    coefficients: Floats  # [D, 2]
    flat_from: float = np.inf  # x from which on the curve is flat

    def of(self, rows: NDArray[np.int64]) -> "Fits":
        """The fits of some of the curves."""
        return Fits(self.law, self.grid, self.choice[rows], self.level[rows], self.coefficients[rows], self.flat_from)

    def at(self, x: Floats) -> Floats:
        """Errors at x [N], never above 1: [D, N]."""
        shapes = self.law.shapes(np.minimum(x, self.flat_from), self.grid[self.choice])  # [D, 2, N]
        value = np.einsum("dk,dkn->dn", self.coefficients, shapes) + self.level[:, None]
        return np.asarray(np.minimum(np.exp(value) if self.law.logarithmic else value, 1.0))

    def numbers(self, curve: int) -> dict[str, float]:
        """The law's parameters for one curve, by letter."""
        numbers = dict(zip(self.law.numbers, self.grid[self.choice[curve]].tolist(), strict=True))
        numbers |= dict(zip(self.law.coefficients, self.coefficients[curve].tolist(), strict=True))
        return numbers | ({"a": float(np.exp(self.level[curve]))} if self.law.logarithmic else {})


def fit(law: Law, x: Floats, errors: Floats, variance: Floats, flat_from: float = np.inf) -> Fits:
    """The law's best fit to each of errors [D, S] at x [S], with the variances [S] of these errors."""
    grid = law.grid(float(x.min()))
    shapes = law.shapes(np.minimum(x, flat_from), grid)  # [G, 2, S]
    level = np.zeros(len(errors))
    if not law.logarithmic:
        choice, coefficients = least_squares(shapes, errors, 1 / variance)
        return Fits(law, grid, choice, level, coefficients, flat_from)
    mean = errors.mean(axis=0)
    weight = mean**2 / variance  # of log errors
    share = weight / weight.sum()
    target = np.log(errors)
    middle, centre = target @ share, shapes @ share  # [D], [G, 2]
    choice, coefficients = least_squares(shapes - centre[:, :, None], target - middle[:, None], weight)
    level = middle - (centre[choice] * coefficients).sum(axis=1)
    return Fits(law, grid, choice, level, coefficients, flat_from)


def least_squares(shapes: Floats, curves: Floats, weight: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Of [G, 2, S] shapes the pair nearest to each of curves [D, S], and its coefficients [D, 2], both ≥ 0."""
    weighted = shapes * np.sqrt(weight)
    length = np.maximum(np.sqrt((weighted**2).sum(axis=2)), 1e-300)  # [G, 2]; a shape may be zero everywhere
    unit = weighted / length[:, :, None]
    u, v = unit[:, 0], unit[:, 1]  # [G, S]
    cosine = (u * v).sum(axis=1)
    target = curves * np.sqrt(weight)
    blocks = [target[start : start + BLOCK] for start in range(0, len(curves), BLOCK)]
    choice = np.concatenate([gains(one @ u.T, one @ v.T, cosine).argmax(axis=1) for one in blocks])
    along_u, along_v = (target * u[choice]).sum(axis=1), (target * v[choice]).sum(axis=1)  # [D]
    return choice, coefficients(along_u, along_v, cosine[choice]) / length[choice]


def gains(along_u: Floats, along_v: Floats, cosine: Floats) -> Floats:
    """The decrease of the sum of squares by two unit vectors, from inner products with the target and each other."""
    both_u, both_v = along_u - cosine * along_v, along_v - cosine * along_u
    both = (both_u * along_u + both_v * along_v) / apart(cosine)
    alone = np.maximum(np.maximum(along_u, along_v), 0) ** 2
    return np.where(np.minimum(both_u, both_v) >= 0, both, alone)


def coefficients(along_u: Floats, along_v: Floats, cosine: Floats) -> Floats:
    """The matching coefficients, [D, 2]; where one of them would be negative, the better vector alone."""
    both = np.stack([along_u - cosine * along_v, along_v - cosine * along_u], axis=1)
    inside = (both.min(axis=1) >= 0) & np.isfinite(apart(cosine))
    first = along_u >= along_v
    alone = np.maximum(np.stack([np.where(first, along_u, 0), np.where(first, 0, along_v)], axis=1), 0)
    return np.where(inside[:, None], both / apart(cosine)[:, None], alone)


def apart(cosine: Floats) -> Floats:
    """sin² of the angle; infinite for parallel vectors, which together gain nothing over one."""
    return np.where(1 - cosine**2 > 1e-12, 1 - cosine**2, np.inf)
