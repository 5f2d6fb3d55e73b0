"""One contender's averaged curve: laws weighted by their forecast of the largest size from the smaller ones.

Laws may all be wrong in the same way. What shows it is how far that forecast was off: beyond the largest size the draws
scatter by as much again, in proportion to the logarithm of the distance. No draw rises there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from vitrail.training.study.statistics.difference import HIGH, LOW
from vitrail.training.study.statistics.fit import Fits, fit
from vitrail.training.study.statistics.laws import LAWS, POW3, Law
from vitrail.training.study.statistics.outcomes import Floats

NEGLIGIBLE = 0.01  # probability


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of the largest size by laws fitted to smaller ones: the measured curve first, then draws."""

    forecast: Floats  # [1 + D, L]: by each law
    truth: Floats  # [1 + D]
    distance: float  # log of the largest size over the largest that was fitted

    @property
    def drawn(self) -> Floats:
        """Draws of the forecast, [D]: all laws have equal weights, as they are weighted by its result."""
        count, laws = self.forecast[1:].shape
        return np.asarray(self.forecast[1:][np.arange(count), assign_laws(np.full(laws, 1 / laws), count)])

    @property
    def off(self) -> float:
        """log of forecast over truth."""
        return float(np.log(self.forecast[0].mean() / self.truth[0]))

    def holds(self) -> bool:
        """Whether the difference of forecast and truth has an interval with 0."""
        low, high = np.quantile(self.drawn - self.truth[1:], [LOW, HIGH])
        return bool(low <= 0 <= high)

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
    fits: tuple[Fits, ...]  # of laws, then of laws with a plateau
    weights: Floats  # [F]
    held_out: HeldOut | None  # None with too few sizes to hold one out
    scores: Floats  # [D]: standard normal, of what laws do not see

    def measured(self, sizes: Floats) -> Floats:
        """The averaged curve at sizes [N], [N]."""
        curves = [one.of(np.zeros(1, np.int64)).at(sizes / self.largest)[0] for one in self.fits]
        return np.asarray(self.weights @ np.stack(curves))

    def draws(self, sizes: Floats) -> Floats:
        """Draws of the curve, [D, N]: each from one law, in proportion to the weights."""
        count = len(self.fits[0].choice) - 1
        law = assign_laws(self.weights, count)
        x = np.append(sizes / self.largest, 1.0)
        curves = np.empty((count, len(x)))
        for index, one in enumerate(self.fits):
            rows = np.flatnonzero(law == index)
            curves[rows] = one.of(rows + 1).at(x)
        return np.asarray(self.beyond(curves, x)[:, :-1])

    def beyond(self, curves: Floats, x: Floats) -> Floats:
        """Curves [D, N + 1] at x, whose last is the largest size, with more scatter beyond that."""
        if self.held_out is None:
            return curves
        rate = abs(self.held_out.off) / self.held_out.distance
        wider = curves * np.exp(self.scores[:, None] * rate * np.log(np.maximum(x, 1)))
        return np.where(x > 1, np.minimum(wider, curves[:, -1:]), curves)


def assign_laws(weights: Floats, count: int) -> NDArray[np.int64]:
    """The law of each of `count` draws: in proportion to the weights, spread evenly over the draws.

    The same for all contenders, so that the bias of a law cancels from the gap between two curves.
    """
    points = (np.arange(count) * 0.6180339887498949 + 0.5) % 1  # golden-ratio sequence: even from the first point on
    return np.minimum(np.searchsorted(np.cumsum(weights), points), len(weights) - 1)


def averaged(sizes: Floats, errors: Floats, plateau: float = 0.0, seed: int = 0) -> Averaged:
    """The laws fitted to errors [1 + D, S] at sizes [S]: the measured curve first, then draws of it.

    `plateau` is the probability that the curve is flat from the second largest size on.
    """
    x, variance = sizes / sizes[-1], errors[1:].var(axis=0)
    count = len(errors) - 1
    scores = np.random.default_rng(seed).permutation(ndtri((np.arange(count) + 0.5) / count))
    held_out = hold_out(sizes, errors, len(sizes) - 1)
    laws = usable(len(sizes) - 1) if held_out else (POW3,)
    fits = [fit(law, x, errors, variance) for law in laws]
    weights = held_out.weights() if held_out else np.ones(1)
    if plateau > NEGLIGIBLE:
        fits += [fit(law, x, errors, variance, flat_from=float(x[-2])) for law in laws]
        weights = np.concatenate([(1 - plateau) * weights, np.full(len(laws), plateau / len(laws))])
    return Averaged(int(sizes[-1]), tuple(fits), weights, held_out, scores)


def hold_out(sizes: Floats, errors: Floats, fitted: int) -> HeldOut | None:
    """Fit every law to the first few sizes, and forecast the largest; None if these are too few for a law."""
    known, laws = sizes[:fitted], usable(fitted)
    if not laws:
        return None
    variance = errors[1:, :fitted].var(axis=0)
    target = sizes[-1:] / known[-1]
    fits = [fit(law, known / known[-1], errors[:, :fitted], variance) for law in laws]
    forecast = np.concatenate([one.at(target) for one in fits], axis=1)
    return HeldOut(forecast, errors[:, -1], float(np.log(target[0])))


def usable(sizes: int) -> tuple[Law, ...]:
    return tuple(law for law in LAWS if law.min_sizes <= sizes)
