"""The curve of one contender: averaged laws with their draws, or the reason why there is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.average import Averaged, assign_laws, averaged
from vitrail.training.study.statistics.behaviour import ill_behaved
from vitrail.training.study.statistics.difference import HIGH, LOW
from vitrail.training.study.statistics.findings import BackTest, Contender, Curve, LawFit, Point
from vitrail.training.study.statistics.images_needed import NEXT, NextImages, images_needed
from vitrail.training.study.statistics.outcomes import Floats, Outcomes
from vitrail.training.study.statistics.seed_spread import cells

MIN_SIZES = 3  # for a curve


@dataclass(frozen=True)
class ContenderFit:
    """The errors and the curve of one contender."""

    index: int
    sizes: Floats  # [S']: those with runs
    has_runs: NDArray[np.bool_]  # [S]
    errors: Floats  # [1 + D, S']: measured, then drawn
    averaged: Averaged | None  # None with too few sizes
    ill_behaved: str | None

    def forecastable(self) -> Averaged | None:
        return None if self.ill_behaved else self.averaged


def fit_contender(outcomes: Outcomes, errors: Floats, index: int) -> ContenderFit:
    """The curve of the contender at this index, from the errors [1 + D, C, S] of all."""
    has_runs = outcomes.runs[index] > 0
    sizes = np.array(outcomes.sizes, float)[has_runs]
    own = errors[:, index, has_runs]
    if len(sizes) < MIN_SIZES:
        reason = f"a curve needs runs at {MIN_SIZES} sizes or more; it has {len(sizes)}"
        return ContenderFit(index, sizes, has_runs, own, None, reason)
    curve = averaged(sizes, own)
    return ContenderFit(index, sizes, has_runs, own, curve, ill_behaved(sizes, own, curve))


def band(draws: Floats) -> tuple[Floats, Floats]:
    """The 90 % band of draws [D, N], [N] each."""
    low, high = np.quantile(draws, [LOW, HIGH], axis=0)
    return low, high


def describe(
    one: ContenderFit, outcomes: Outcomes, sigma: Floats, grid: Floats, targets: tuple[float, ...]
) -> Contender:
    """The curve in plain numbers; `sigma` [C, S] is the standard deviation between seeds."""
    measured = points(one, outcomes, sigma)
    return Contender(
        outcomes.contenders[one.index],
        measured,
        one.ill_behaved,
        drawn_curve(one, grid, targets),
        back_test(one, measured),
    )


def points(one: ContenderFit, outcomes: Outcomes, sigma: Floats) -> tuple[Point, ...]:
    error = outcomes.shares.mean(axis=2)[one.index, one.has_runs]
    runs = outcomes.runs[one.index, one.has_runs]
    low, high = band(one.errors[1:])
    spread = sigma[one.index, one.has_runs]
    measured = np.sqrt(cells(outcomes)[0][one.index, one.has_runs])  # NaN with one run
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


def drawn_curve(one: ContenderFit, grid: Floats, targets: tuple[float, ...]) -> Curve | None:
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
        tuple(images_needed(target, grid, error, low, high) for target in targets),
        next_images(curve, grid[-1]),
    )


def laws(curve: Averaged) -> tuple[LawFit, ...]:
    forecasts = [None] * len(curve.fits) if curve.held_out is None else curve.held_out.forecast[0].tolist()
    return tuple(
        LawFit(fit.law.name, fit.law.formula, float(weight), fit.numbers(0), forecast)
        for fit, weight, forecast in zip(curve.fits, curve.weights, forecasts, strict=True)
    )


def next_images(curve: Averaged, end: float) -> NextImages | None:
    """The gain of the next thousand images after the largest size; None if the grid ends before."""
    if curve.largest + NEXT > end:
        return None
    sizes = np.array([curve.largest, curve.largest + NEXT], float)
    gain = curve.draws(sizes)
    low, high = band((gain[:, 0] - gain[:, 1])[:, None])
    before, after = curve.measured(sizes)
    return NextImages(NEXT, float(before - after), float(low[0]), float(high[0]))


def back_test(one: ContenderFit, measured: tuple[Point, ...]) -> BackTest | None:
    """All laws have equal weights here, as their weights were computed from the held-out size."""
    if one.averaged is None or one.averaged.held_out is None:
        return None
    forecasts, truth = one.averaged.held_out.forecast, measured[-1].error
    count, laws = forecasts[1:].shape
    assigned = forecasts[1:][np.arange(count), assign_laws(np.full(laws, 1 / laws), count)]
    low, high = band(assigned[:, None])
    mean = float(forecasts[0].mean())
    return BackTest(int(one.sizes[-1]), mean, float(low[0]), float(high[0]), truth, abs(mean - truth))
