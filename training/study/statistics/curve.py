"""One contender's line through its measured points: the averaged curve and its draws, or why there is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.average import Averaged, averaged, deal
from vitrail.training.study.statistics.behaviour import ill_behaved
from vitrail.training.study.statistics.difference import HIGH, LOW
from vitrail.training.study.statistics.findings import BackTest, Contender, Curve, LawFit, Point
from vitrail.training.study.statistics.images_needed import NEXT, NextImages, needed
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import cells

FEWEST = 3  # sizes without which there is no curve


@dataclass(frozen=True)
class Line:
    """What is known of one contender."""

    index: int
    sizes: Floats  # [S']: those with runs
    seen: NDArray[np.bool_]  # [S]: which these are
    errors: Floats  # [1 + D, S']: measured, then drawn
    averaged: Averaged | None  # None with too few sizes
    ill_behaved: str | None

    def forecastable(self) -> Averaged | None:
        return None if self.ill_behaved else self.averaged


def line(outcomes: Outcomes, errors: Floats, index: int) -> Line:
    """The line of the contender of this index through errors [1 + D, C, S]."""
    seen = outcomes.runs[index] > 0
    sizes = np.array(outcomes.sizes, float)[seen]
    own = errors[:, index, seen]
    if len(sizes) < FEWEST:
        return Line(index, sizes, seen, own, None, f"a curve needs runs at {FEWEST} sizes or more; it has {len(sizes)}")
    curve = averaged(sizes, own)
    return Line(index, sizes, seen, own, curve, ill_behaved(sizes, own, curve))


def band(draws: Floats) -> tuple[Floats, Floats]:
    """The 90 % band of draws [D, N], [N] each."""
    low, high = np.quantile(draws, [LOW, HIGH], axis=0)
    return low, high


def described(one: Line, outcomes: Outcomes, sigma: Floats, grid: Floats, targets: tuple[float, ...]) -> Contender:
    """The line in plain numbers; `sigma` [C, S] is how far runs of different seeds lie apart."""
    measured = points(one, outcomes, sigma)
    return Contender(
        outcomes.contenders[one.index],
        measured,
        one.ill_behaved,
        drawn_curve(one, grid, targets),
        back_test(one, measured),
    )


def points(one: Line, outcomes: Outcomes, sigma: Floats) -> tuple[Point, ...]:
    error = outcomes.shares.mean(axis=2)[one.index, one.seen]
    runs = outcomes.runs[one.index, one.seen]
    low, high = band(one.errors[1:])
    spread = sigma[one.index, one.seen]
    measured = np.sqrt(cells(outcomes)[0][one.index, one.seen])  # NaN with one run
    return tuple(
        Point(
            int(one.sizes[i]),
            int(runs[i]),
            float(error[i]),
            float(low[i]),
            float(high[i]),
            float(spread[i]),
            float(measured[i]) if runs[i] > 1 else None,
        )
        for i in range(len(one.sizes))
    )


def drawn_curve(one: Line, grid: Floats, targets: tuple[float, ...]) -> Curve | None:
    curve = one.forecastable()
    if curve is None:
        return None
    error = curve.measured(grid)
    low, high = band(curve.draws(grid))
    return Curve(
        laws(curve),
        tuple(error.tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
        tuple(needed(target, grid, error, low, high) for target in targets),
        next_images(curve, grid[-1]),
    )


def laws(curve: Averaged) -> tuple[LawFit, ...]:
    foretold = [None] * len(curve.fits) if curve.hidden is None else curve.hidden.foretold[0].tolist()
    return tuple(
        LawFit(fit.law.name, fit.law.formula, float(weight), fit.numbers(0), told)
        for fit, weight, told in zip(curve.fits, curve.weights, foretold, strict=True)
    )


def next_images(curve: Averaged, end: float) -> NextImages | None:
    """What the next thousand bring after the largest size, if the end of reach is not before."""
    if curve.largest + NEXT > end:
        return None
    sizes = np.array([curve.largest, curve.largest + NEXT], float)
    gain = curve.draws(sizes)
    low, high = band((gain[:, 0] - gain[:, 1])[:, None])
    here, there = curve.measured(sizes)
    return NextImages(NEXT, float(here - there), float(low[0]), float(high[0]))


def back_test(one: Line, measured: tuple[Point, ...]) -> BackTest | None:
    """All laws count alike here: their weights were learnt from the very size that is hidden."""
    if one.averaged is None or one.averaged.hidden is None:
        return None
    foretold, truth = one.averaged.hidden.foretold, measured[-1].error
    count, laws = foretold[1:].shape
    dealt = foretold[1:][np.arange(count), deal(np.full(laws, 1 / laws), count)]
    low, high = band(dealt[:, None])
    mean = float(foretold[0].mean())
    return BackTest(int(one.sizes[-1]), mean, float(low[0]), float(high[0]), truth, abs(mean - truth))
