"""One contender's averaged curve: laws weighted by their forecast of the largest size from the smaller ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.fit import Fits, fit
from vitrail.training.study.statistics.laws import LAWS, POW3, Law
from vitrail.training.study.statistics.outcomes import Floats


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of the largest size by laws fitted without it."""

    forecast: Floats  # [1 + D, L]: by each law
    truth: Floats  # [1 + D]

    def weights(self) -> Floats:
        """[L]: the likelihood of each law's residual under the scatter of its residuals over draws."""
        residual = self.forecast - self.truth[:, None]
        scatter = residual[1:].std(axis=0)
        likelihood = -0.5 * (residual[0] / scatter) ** 2 - np.log(scatter)  # logarithmic
        weight = np.exp(likelihood - likelihood.max())
        return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class Averaged:
    """One contender's laws, fitted to the measured curve (row 0) and to D draws of it (rows 1…)."""

    largest: int  # labelled images where x = 1
    fits: tuple[Fits, ...]
    weights: Floats  # [L]
    held_out: HeldOut | None  # None with too few sizes to hold one out

    def measured(self, sizes: Floats) -> Floats:
        """The averaged curve at sizes [N], [N]."""
        curves = [one.of(np.zeros(1, np.int64)).at(sizes / self.largest)[0] for one in self.fits]
        return np.asarray(self.weights @ np.stack(curves))

    def draws(self, sizes: Floats) -> Floats:
        """Draws of the curve, [D, N]: each from one law, in proportion to the weights."""
        count = len(self.fits[0].choice) - 1
        law = assign_laws(self.weights, count)
        curves = np.empty((count, len(sizes)))
        for index, one in enumerate(self.fits):
            rows = np.flatnonzero(law == index)
            curves[rows] = one.of(rows + 1).at(sizes / self.largest)
        return curves


def assign_laws(weights: Floats, count: int) -> NDArray[np.int64]:
    """The law of each of `count` draws: in proportion to the weights, spread evenly over the draws.

    The same for all contenders, so that the bias of a law cancels from the gap between two curves.
    """
    points = (np.arange(count) * 0.6180339887498949 + 0.5) % 1  # golden-ratio sequence: even from the first point on
    return np.minimum(np.searchsorted(np.cumsum(weights), points), len(weights) - 1)


def averaged(sizes: Floats, errors: Floats) -> Averaged:
    """The laws fitted to errors [1 + D, S] at sizes [S]: the measured curve first, then draws of it."""
    variance = errors[1:].var(axis=0)
    if len(sizes) <= POW3.min_sizes:
        return Averaged(int(sizes[-1]), (fit(POW3, sizes / sizes[-1], errors, variance),), np.ones(1), None)
    held_out = hold_out_largest(sizes, errors, variance)
    laws = usable(len(sizes) - 1)
    fits = tuple(fit(law, sizes / sizes[-1], errors, variance) for law in laws)
    return Averaged(int(sizes[-1]), fits, held_out.weights(), held_out)


def hold_out_largest(sizes: Floats, errors: Floats, variance: Floats) -> HeldOut:
    """Fit every law to all sizes but the largest, and forecast that."""
    known = sizes[:-1] / sizes[-2]
    target = sizes[-1:] / sizes[-2]
    fits = [fit(law, known, errors[:, :-1], variance[:-1]) for law in usable(len(known))]
    return HeldOut(np.concatenate([one.at(target) for one in fits], axis=1), errors[:, -1])


def usable(sizes: int) -> tuple[Law, ...]:
    return tuple(law for law in LAWS if law.min_sizes <= sizes)
