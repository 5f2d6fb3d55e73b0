"""The size at which one curve overtakes the other, as a set: all sizes at which an interval of their gap holds 0.

At the true crossing the gap is zero, so the set contains the crossing as often as the interval holds what it should.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats

Kind = Literal["between", "beyond", "before", "none", "undecided", "refused"]


@dataclass(frozen=True)
class Crossing:
    """The crossing in labelled images; "ahead" means that the interval of the gap excludes zero.

    between: each of the two is ahead somewhere; they cross in low…high.
    beyond: `leader` is ahead up to low; if the other overtakes, it does so later.
    before: `leader` is ahead from high on; if it was ever behind, it was so with fewer images.
    none: `leader` is ahead at both ends, with the fewest images and at the end of the forecast.
    undecided: neither is ahead anywhere. refused: one of the two curves is ill-behaved.
    """

    kind: Kind
    leader: int | None = None  # 0 or 1: ahead at the largest size at which one of the two is ahead
    low: float | None = None
    high: float | None = None
    point: float | None = None  # where the two averaged curves cross, if they do within reach


def crossing(sizes: Floats, gap: Floats, low: Floats, high: Floats) -> Crossing:
    """From the gap of the averaged curves and its interval, all [N], at ascending sizes [N]."""
    ahead = np.where(high < 0, -1, np.where(low > 0, 1, 0))  # −1: the first, 1: the second
    known = np.flatnonzero(ahead)
    if len(known) == 0:
        return Crossing("undecided")
    last = known[-1]
    sign = ahead[last]
    leader = 0 if sign < 0 else 1
    against = np.flatnonzero(ahead == -sign)
    edge = high if sign < 0 else low  # passes zero where the leader begins to be ahead
    if len(against):
        before = against[-1]
        after = int(known[known > before][0])
        start = zero(sizes, low if sign < 0 else high, before)
        return Crossing("between", leader, start, zero(sizes, edge, after - 1), point(sizes, gap, before, after))
    if last < len(sizes) - 1:
        return Crossing("beyond", leader, zero(sizes, edge, last), None, point(sizes, gap, last, len(sizes) - 1))
    if ahead[0] == 0:
        first = known[0]
        return Crossing("before", leader, None, zero(sizes, edge, first - 1), point(sizes, gap, 0, first))
    return Crossing("none", leader)


def zero(sizes: Floats, values: Floats, index: int) -> float:
    """Where values pass zero between this index and the next, linear in log n."""
    start, end = values[index], values[index + 1]
    share = start / (start - end) if start != end else 0.5
    return float(sizes[index] * (sizes[index + 1] / sizes[index]) ** np.clip(share, 0, 1))


def point(sizes: Floats, gap: Floats, start: int, end: int) -> float | None:
    """The last change of sign of the gap within start…end."""
    changes = np.flatnonzero(np.diff(np.sign(gap[start : end + 1])))
    return zero(sizes, gap, start + int(changes[-1])) if len(changes) else None
