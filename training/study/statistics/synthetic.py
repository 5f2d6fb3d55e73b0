"""Synthetic studies with known curves: pairs of laws, and predictions correlated as those of real networks are.

Run r gets image i wrong when √ρ·d_i + √ρ'·d_ci + √(1−ρ−ρ')·ε_ir falls below the quantile of the run's error p_r: the
difficulty of an image is shared by all runs (d_i) and by the runs of a contender (d_ci), the rest is noise. The
expected error is exactly p_r, and the correlation between runs is given by ρ and ρ'. The run's error is the law's
value, moved by its seed: f(n)·(1 + spread(f)·z) with z standard normal, clipped to ±2.5.
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


def study(pair: Pair, seeds: int, images: int, random: np.random.Generator) -> Outcomes:
    """One simulated study of the pair."""
    truth = pair.truth(np.array(SIZES, float))[:, :, None]  # [2, S, 1]
    spread = pair.seed_spread * (truth / 0.1) ** pair.seed_power
    error = truth * (1 + spread * np.clip(random.standard_normal((*truth.shape[:2], seeds)), -2.5, 2.5))
    hard = np.sqrt(pair.shared) * random.standard_normal(images, np.float32)
    own = np.sqrt(pair.own) * random.standard_normal((2, 1, 1, images), np.float32)
    chance = random.standard_normal((*error.shape, images), np.float32)
    chance *= np.float32(np.sqrt(1 - pair.shared - pair.own))
    wrong = hard + own + chance < ndtri(error)[..., None].astype(np.float32)
    return Outcomes(("first", "second"), SIZES, tuple(range(seeds)), wrong)
