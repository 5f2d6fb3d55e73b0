"""One contender's averaged curve: a law counts as much as it foretold the largest size from the smaller ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.fit import Fits, fit
from vitrail.training.study.statistics.laws import LAWS, POW3, Law
from vitrail.training.study.statistics.outcomes import Floats


@dataclass(frozen=True)
class Hidden:
    """What the laws said of the largest size before they saw it."""

    foretold: Floats  # [1 + D, L]: by each law
    truth: Floats  # [1 + D]

    def weights(self) -> Floats:
        """[L]: how likely each law's miss was, given how far such misses scatter over draws."""
        miss = self.foretold - self.truth[:, None]
        scatter = miss[1:].std(axis=0)
        chance = -0.5 * (miss[0] / scatter) ** 2 - np.log(scatter)
        weight = np.exp(chance - chance.max())
        return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class Averaged:
    """One contender's laws, fitted to the measured curve (row 0) and to D draws of it (rows 1…)."""

    largest: int  # labelled images where x = 1
    fits: tuple[Fits, ...]
    weights: Floats  # [L]
    hidden: Hidden | None  # None with too few sizes to hide one

    def measured(self, sizes: Floats) -> Floats:
        """The averaged curve at sizes [N], [N]."""
        curves = [one.of(np.zeros(1, np.int64)).at(sizes / self.largest)[0] for one in self.fits]
        return np.asarray(self.weights @ np.stack(curves))

    def draws(self, sizes: Floats) -> Floats:
        """Curves as they may as well be, [D, N]: of each draw one law, as often as its weight says."""
        count = len(self.fits[0].choice) - 1
        law = deal(self.weights, count)
        curves = np.empty((count, len(sizes)))
        for index, one in enumerate(self.fits):
            rows = np.flatnonzero(law == index)
            curves[rows] = one.of(rows + 1).at(sizes / self.largest)
        return curves


def deal(weights: Floats, count: int) -> NDArray[np.int64]:
    """Which law each of `count` draws uses: shares as even as can be, spread evenly over the draws.

    All contenders deal alike: what a law gets wrong of every curve cancels from their gap.
    """
    places = (np.arange(count) * 0.6180339887498949 + 0.5) % 1  # the golden ratio fills 0…1 evenly from the first on
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def averaged(sizes: Floats, errors: Floats) -> Averaged:
    """The laws fitted to errors [1 + D, S] at sizes [S]: the measured curve first, then draws of it."""
    variance = errors[1:].var(axis=0)
    if len(sizes) <= POW3.fewest:
        return Averaged(int(sizes[-1]), (fit(POW3, sizes / sizes[-1], errors, variance),), np.ones(1), None)
    hidden = hide_largest(sizes, errors, variance)
    laws = usable(len(sizes) - 1)
    fits = tuple(fit(law, sizes / sizes[-1], errors, variance) for law in laws)
    return Averaged(int(sizes[-1]), fits, hidden.weights(), hidden)


def hide_largest(sizes: Floats, errors: Floats, variance: Floats) -> Hidden:
    """Fit every law to all sizes but the largest, and ask it about that."""
    known = sizes[:-1] / sizes[-2]
    target = sizes[-1:] / sizes[-2]
    fits = [fit(law, known, errors[:, :-1], variance[:-1]) for law in usable(len(known))]
    return Hidden(np.concatenate([one.at(target) for one in fits], axis=1), errors[:, -1])


def usable(sizes: int) -> tuple[Law, ...]:
    return tuple(law for law in LAWS if law.fewest <= sizes)
