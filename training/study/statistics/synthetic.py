"""Synthetic studies with known curves: pairs of laws, and predictions correlated as those of real networks are.

A case says how runs scatter around the laws: as the statistics assume, or as they do not.

Run r gets image i wrong when √ρ·d_i + √ρ'·d_ci + √(1−ρ−ρ')·ε_ir falls below the quantile of the run's error p_r: the
difficulty of an image is shared by all runs (d_i) and by the runs of a contender (d_ci), the rest is noise. The
expected error is exactly p_r, and the correlation between runs is given by ρ and ρ'. The run's error is the law's
value, moved by its seed: f(n)·(1 + spread(f)·z) with z standard normal, clipped to ±2.5, unless the case has others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import ndtri

from vitrail.training.study.statistics.outcomes import Floats, Outcomes

SIZES = (100, 250, 630, 1600, 4000)
REACH = 4.0

Curve = Callable[[Floats], Floats]


def pow3(c: float, a: float, b: float) -> Curve:
    return lambda n: c + a * n**-b


def pow4(c: float, a: float, b: float, d: float) -> Curve:
    return lambda n: c + a * (n + d) ** -b


def mmf4(start: float, end: float, middle: float, d: float) -> Curve:
    return lambda n: end + (start - end) / (1 + (n / middle) ** d)


def piecewise(at_100: float, b: float, k: float, d: float) -> Curve:
    return lambda n: at_100 * (np.minimum(n, k) / 100) ** -b * np.maximum(n / k, 1) ** -d


@dataclass(frozen=True)
class Case:
    """How the runs of a study scatter around the true curves."""

    name: str
    spreads: tuple[float, float] | None = None  # relative, of the two contenders, in place of the pair's
    shock: float = 0.0  # relative standard deviation of what all runs of a cell share
    is_shock_common: bool = False  # to both contenders at a size
    collapsed: float = 0.0  # share of runs with `COLLAPSED` times their error
    by_cell: float = 0.0  # correlation of the seeds of a cell
    by_seed: float = 0.0  # correlation of the sizes of a seed
    freedom: float | None = None  # of Student's t in place of the normal distribution
    has_plateau: bool = False  # from the second largest size on, errors stay as they are there


COLLAPSED, CHANCE = 3.0, 0.9  # no error is above chance
AS_ASSUMED = Case("as assumed")
CASES = (
    AS_ASSUMED,
    Case("seeds of one scatter six times as much", spreads=(0.12, 0.02)),
    Case("a shock for each cell", shock=0.08),
    Case("collapsed runs", collapsed=0.15),
    Case("correlated seeds", by_cell=0.5),
    Case("heavy tails", freedom=3.0),
    Case("a plateau at the largest size", has_plateau=True),
    Case("seeds lucky at all sizes", by_seed=0.5),
    Case("a shock for each size", shock=0.08, is_shock_common=True),
)


@dataclass(frozen=True)
class Pair:
    """Two contenders' true errors, and the scatter of runs around them."""

    name: str
    first: Curve
    second: Curve
    seed_spread: float = 0.05  # of a run's error, relative to it, at an error of 0.1
    seed_power: float = 0.0  # … times (f / 0.1) to this power
    shared: float = 0.5  # ρ
    own: float = 0.15  # ρ'

    def truth(self, sizes: Floats) -> Floats:
        """True errors of both, [2, N]."""
        return np.stack([self.first(sizes), self.second(sizes)])

    def crossing(self) -> float | None:
        """The crossing between the smallest size and `REACH` times the largest; there is at most one."""
        sizes = np.geomspace(SIZES[0], REACH * SIZES[-1], 20_001)
        gap = np.subtract(*self.truth(sizes))
        change = np.flatnonzero(np.diff(np.sign(gap)))
        assert len(change) <= 1, self.name
        return float(sizes[change[0]]) if len(change) else None


PAIRS = (
    Pair("crossing inside, POW3 and POW3", pow3(0.02, 7.0, 0.55), pow3(0.09, 1.75, 0.4)),
    Pair("crossing inside, POW3 and MMF4", pow3(0.05, 2.6, 0.45), mmf4(0.85, 0.02, 260.0, 1.1)),
    Pair("crossing inside, MMF4 and MMF4", mmf4(0.9, 0.03, 500.0, 1.6), mmf4(0.6, 0.08, 300.0, 0.9)),
    Pair("crossing inside, piecewise and POW3", piecewise(0.6, 0.25, 500.0, 0.85), pow3(0.08, 3.2, 0.48)),
    Pair("crossing inside, POW4 and POW4", pow4(0.01, 60.0, 0.85, 120.0), pow4(0.1, 2.2, 0.5, -30.0), 0.06, -0.3),
    Pair("crossing beyond, POW3 and POW3", pow3(0.01, 3.6, 0.42), pow3(0.065, 2.0, 0.47)),
    Pair("crossing far beyond, POW3 and POW4", pow3(0.02, 3.2, 0.33), pow4(0.06, 3.2, 0.48, 40.0)),
    Pair("never crossing, POW3 and POW3", pow3(0.08, 3.5, 0.42), pow3(0.04, 2.6, 0.45)),
    Pair("never crossing, MMF4 and POW3, apart with size", mmf4(0.8, 0.02, 350.0, 1.3), pow3(0.2, 4.0, 0.45), 0.06),
    Pair("never crossing, piecewise and MMF4", piecewise(0.5, 0.35, 900.0, 0.5), mmf4(0.7, 0.05, 100.0, 1.0)),
    Pair("near tie, POW3 and POW3", pow3(0.050, 2.5, 0.45), pow3(0.051, 2.5, 0.45)),
    Pair("near tie, POW4 and MMF4", pow4(0.061, 28.0, 0.82, 60.0), mmf4(0.9, 0.06, 95.0, 0.98)),
    Pair("few mistakes, POW3 and POW3", pow3(0.004, 4.0, 0.7), pow3(0.012, 2.4, 0.6), 0.10),
    Pair("crossing at the largest size, POW3 and POW3", pow3(0.01, 3.4, 0.42), pow3(0.088, 2.0, 0.5), 0.04, -0.4),
)

# Each pair with 3 or 5 seeds and 400 or 4,000 test images, as (index of the pair, seeds, test images).
KINDS = tuple(product(range(len(PAIRS)), (3, 5), (400, 4000)))
# One of them for each pair, for short tests.
SOME_KINDS = tuple(kind for number, kind in enumerate(KINDS) if number % 4 == kind[0] % 4)


def errors(pair: Pair, sizes: Floats, case: Case = AS_ASSUMED) -> Floats:
    """The errors of both at sizes [N] without scatter, [2, N]."""
    return pair.truth(np.minimum(sizes, SIZES[-2]) if case.has_plateau else sizes)


def expected_errors(pair: Pair, sizes: Floats, case: Case = AS_ASSUMED) -> Floats:
    """What the mean of many runs with other seeds and shocks would be, [2, N]."""
    error = errors(pair, sizes, case)
    return np.asarray((1 - case.collapsed) * error + case.collapsed * np.minimum(COLLAPSED * error, CHANCE))


def study(pair: Pair, seeds: int, images: int, random: np.random.Generator, case: Case = AS_ASSUMED) -> Outcomes:
    """One simulated study of the pair."""
    truth = errors(pair, np.array(SIZES, float), case)[:, :, None]  # [2, S, 1]
    spread = pair.seed_spread * (truth / 0.1) ** pair.seed_power
    if case.spreads:
        spread = np.array(case.spreads)[:, None, None]
    error = truth * (1 + spread * scores((*truth.shape[:2], seeds), case, random))
    if case.shock:
        shape = (1 if case.is_shock_common else 2, len(SIZES), 1)
        error = error * (1 + case.shock * np.clip(random.standard_normal(shape), -2.5, 2.5))
    if case.collapsed:
        error = np.where(random.random(error.shape) < case.collapsed, COLLAPSED * error, error)
    error = np.clip(error, 1e-4, CHANCE)
    hard = np.sqrt(pair.shared) * random.standard_normal(images, np.float32)
    own = np.sqrt(pair.own) * random.standard_normal((2, 1, 1, images), np.float32)
    chance = random.standard_normal((*error.shape, images), np.float32)
    chance *= np.float32(np.sqrt(1 - pair.shared - pair.own))
    wrong = hard + own + chance < ndtri(error)[..., None].astype(np.float32)
    return Outcomes(("first", "second"), SIZES, tuple(range(seeds)), wrong)


def scores(shape: tuple[int, ...], case: Case, random: np.random.Generator) -> Floats:
    """Standard scores [C, S, R] by which seeds move their runs."""
    if case.freedom:
        return np.asarray(random.standard_t(case.freedom, shape) / np.sqrt(case.freedom / (case.freedom - 2)))
    score = np.clip(random.standard_normal(shape), -2.5, 2.5)
    if case.by_cell:
        score = np.sqrt(1 - case.by_cell) * score + np.sqrt(case.by_cell) * random.standard_normal((*shape[:2], 1))
    if case.by_seed:
        score = np.sqrt(1 - case.by_seed) * score + np.sqrt(case.by_seed) * random.standard_normal((2, 1, shape[2]))
    return np.asarray(score)
