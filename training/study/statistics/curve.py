"""The curve of one contender: averaged laws with their draws, or the reason why there is none."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from vitrail.training.study.statistics.average import Averaged, averaged, hold_out
from vitrail.training.study.statistics.behaviour import ill_behaved
from vitrail.training.study.statistics.difference import HIGH, LOW
from vitrail.training.study.statistics.findings import BackTest, Contender, Curve, LawFit, Point
from vitrail.training.study.statistics.images_needed import NextImages, images_needed, next_count
from vitrail.training.study.statistics.outcomes import Floats
from vitrail.training.study.statistics.scatter import Scatter
from vitrail.training.study.statistics.seed_spread import cells

MIN_SIZES = 3  # for a curve
NEAR, FAR = 2.0, 4.0  # where forecasts end, in multiples of the largest size
MOST_OFF = 1.2  # ratio of forecast and truth over two doublings, up to which a forecast may go as far


@dataclass(frozen=True)
class ContenderFit:
    """The errors and the curve of one contender."""

    index: int
    sizes: Floats  # [S']: those with runs
    has_runs: NDArray[np.bool_]  # [S]
    errors: Floats  # [1 + D, S']: measured, then drawn
    limited: NDArray[np.bool_]  # [S']: those that take no part in the curve
    averaged: Averaged | None  # None with too few sizes
    ill_behaved: str | None
    end: float  # images up to which the curve is drawn
    refused: str | None  # why it has no forecast

    def well_behaved(self) -> Averaged | None:
        """The curve, unless it is ill-behaved; its forecast may still be refused."""
        return None if self.ill_behaved else self.averaged

    def grid(self, grid: Floats) -> Floats:
        """The part of a grid that the curve is drawn on."""
        return grid[grid <= self.end * (1 + 1e-9)] if self.well_behaved() else grid[:0]


def fit_contender(scatter: Scatter, errors: Floats, index: int) -> ContenderFit:
    """The curve of the contender at this index, from the errors [1 + D, C, S] of all."""
    has_runs = scatter.outcomes.runs[index] > 0
    sizes = np.array(scatter.outcomes.sizes, float)[has_runs]
    own, limited = errors[:, index, has_runs], scatter.outcomes.limited[index, has_runs]
    fitted, drawn = sizes[~limited], own[:, ~limited]
    reason = too_few(sizes, limited)
    if reason:
        return ContenderFit(index, sizes, has_runs, own, limited, None, reason, max(fitted, default=0.0), reason)
    curve = averaged(fitted, drawn, float(scatter.plateaus[index]), seed=index)
    bent = ill_behaved(fitted, drawn, curve, scatter.shock)
    refused = bent or limited_end(sizes, limited) or failed_back_test(curve, fitted)
    end = fitted[-1] * (1 if refused else reach(fitted, drawn))
    return ContenderFit(index, sizes, has_runs, own, limited, curve, bent, end, refused)


def too_few(sizes: Floats, limited: NDArray[np.bool_]) -> str | None:
    """Why there is no curve through these sizes; None if there is."""
    count = int((~limited).sum())
    if count < MIN_SIZES:
        trained_out = " that were trained out" if limited.any() else ""
        return f"a curve needs runs{trained_out} at {MIN_SIZES} sizes or more; it has {count}"
    if limited[0]:
        return f"its runs with {sizes[0]:,.0f} images, where its curve begins, were limited by their budget"
    return None


def limited_end(sizes: Floats, limited: NDArray[np.bool_]) -> str | None:
    """Why there is no forecast beyond a largest size at which longer runs may be better."""
    if not limited[-1]:
        return None
    return f"its runs with {sizes[-1]:,.0f} images were limited by their budget"


def failed_back_test(curve: Averaged, sizes: Floats) -> str | None:
    """Why a curve has no forecast, although one of its largest size could be checked; None if it held."""
    if curve.held_out is None or curve.held_out.holds():
        return None
    forecast, truth = curve.held_out.forecast[0].mean(), curve.held_out.truth[0]
    return (
        f"from up to {sizes[-2]:,.0f} images an error of {forecast:.1%} was forecast for {sizes[-1]:,.0f}, and "
        f"{truth:.1%} was measured, which is more than chance"
    ).replace("%", " %")


def reach(sizes: Floats, errors: Floats) -> float:
    """How far a forecast goes: two doublings if it went as far before, from sizes up to a quarter of the largest."""
    held_out = hold_out(sizes, errors, int((sizes <= sizes[-1] / FAR).sum()))
    has_earned = held_out is not None and held_out.holds() and abs(held_out.off) <= np.log(MOST_OFF)
    return FAR if has_earned else NEAR


def band(draws: Floats) -> tuple[Floats, Floats]:
    """The 90 % band of draws [D, N], [N] each."""
    low, high = np.quantile(draws, [LOW, HIGH], axis=0)
    return low, high


def describe(one: ContenderFit, scatter: Scatter, grid: Floats, targets: tuple[float, ...]) -> Contender:
    """The curve in plain numbers."""
    measured = points(one, scatter)
    return Contender(
        scatter.outcomes.contenders[one.index],
        measured,
        one.ill_behaved,
        one.refused,
        drawn_curve(one, one.grid(grid), targets),
        back_test(one, measured),
    )


def points(one: ContenderFit, scatter: Scatter) -> tuple[Point, ...]:
    where = one.index, one.has_runs
    fine, collapsed = scatter.outcomes.runs[where], scatter.collapsed.sum(axis=2)[where]
    error = scatter.outcomes.shares.mean(axis=2)[where] * scatter.factors.mean(axis=0)[where]
    fitted, measured = scatter.typical_seeds[where], np.sqrt(cells(scatter.outcomes)[0][where])  # NaN with one run
    low, high = band(one.errors[1:])
    return tuple(
        Point(
            int(one.sizes[i]),
            int(fine[i] + collapsed[i]),
            int(collapsed[i]),
            float(error[i]),
            float(low[i]),
            float(high[i]),
            float(fitted[i]),
            float(measured[i]) if fine[i] > 1 else None,
            bool(one.limited[i]),
        )
        for i in range(len(one.sizes))
    )


def drawn_curve(one: ContenderFit, grid: Floats, targets: tuple[float, ...]) -> Curve | None:
    curve = one.well_behaved()
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
    forecasts = [] if curve.held_out is None else curve.held_out.forecast[0].tolist()
    return tuple(
        LawFit(
            fit.law.name,
            fit.law.formula if np.isinf(fit.flat_from) else f"{fit.law.formula}, flat from x = {fit.flat_from:.2g} on",
            float(weight),
            fit.numbers(0),
            forecast,
        )
        for fit, weight, forecast in zip_longest(curve.fits, curve.weights, forecasts[: len(curve.fits)])
    )


def next_images(curve: Averaged, end: float) -> NextImages | None:
    """The gain of the next images after the largest size; None if the grid ends before."""
    count = next_count(curve.largest)
    if curve.largest + count > end:
        return None
    sizes = np.array([curve.largest, curve.largest + count], float)
    gain = curve.draws(sizes)
    low, high = band((gain[:, 0] - gain[:, 1])[:, None])
    before, after = curve.measured(sizes)
    return NextImages(count, float(before - after), float(low[0]), float(high[0]))


def back_test(one: ContenderFit, measured: tuple[Point, ...]) -> BackTest | None:
    if one.averaged is None or one.averaged.held_out is None:
        return None
    held_out = one.averaged.held_out
    last = [point for point in measured if not point.limited][-1]
    low, high = band(held_out.drawn[:, None])
    mean = float(held_out.forecast[0].mean())
    return BackTest(last.images, mean, float(low[0]), float(high[0]), last.error, abs(mean - last.error))
