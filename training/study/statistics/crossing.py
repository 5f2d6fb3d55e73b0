"""Where one curve overtakes the other, as a set: all sizes at which the 90 % interval of their gap still holds zero.

At the true crossing the gap is zero, and its interval holds zero nine times in ten: so often the set holds the
crossing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitrail.training.study.statistics.outcomes import Floats

Kind = Literal["between", "beyond", "before", "none", "undecided", "refused"]


@dataclass(frozen=True)
class Crossing:
    """What is known of the crossing, in labelled images.

    between: each of the two is surely ahead somewhere; they change places in low…high.
    beyond: up to low `leader` is surely ahead; if the other overtakes, it does so later.
    before: from high on `leader` is surely ahead; if it ever was behind, it was so with fewer images.
    none: `leader` is surely ahead at both ends, with the fewest images and as far as the forecast reaches.
    undecided: nobody is surely ahead. refused: one of the two curves is ill-behaved.
    """

    kind: Kind
    leader: int | None = None  # 0 or 1: who is surely ahead where the most images are for which somebody is
    low: float | None = None
    high: float | None = None
    point: float | None = None  # where the two averaged curves cross, if they do within reach


def crossing(sizes: Floats, gap: Floats, low: Floats, high: Floats) -> Crossing:
    """From the gap of the averaged curves and its interval, all [N], at ascending sizes [N]."""
    sure = np.where(high < 0, -1, np.where(low > 0, 1, 0))  # −1: the first errs less
    known = np.flatnonzero(sure)
    if len(known) == 0:
        return Crossing("undecided")
    last = known[-1]
    sign = sure[last]
    leader = 0 if sign < 0 else 1
    against = np.flatnonzero(sure == -sign)
    edge = high if sign < 0 else low  # passes zero where the leader begins to be surely ahead
    if len(against):
        before = against[-1]
        after = int(known[known > before][0])
        start = zero(sizes, low if sign < 0 else high, before)
        return Crossing("between", leader, start, zero(sizes, edge, after - 1), point(sizes, gap, before, after))
    if last < len(sizes) - 1:
        return Crossing("beyond", leader, zero(sizes, edge, last), None, point(sizes, gap, last, len(sizes) - 1))
    if sure[0] == 0:
        first = known[0]
        return Crossing("before", leader, None, zero(sizes, edge, first - 1), point(sizes, gap, 0, first))
    return Crossing("none", leader)


def zero(sizes: Floats, values: Floats, index: int) -> float:
    """Where values pass zero between this index and the next, on a line in log n."""
    here, there = values[index], values[index + 1]
    share = here / (here - there) if here != there else 0.5
    return float(sizes[index] * (sizes[index + 1] / sizes[index]) ** np.clip(share, 0, 1))


def point(sizes: Floats, gap: Floats, start: int, end: int) -> float | None:
    """The last change of sign of the gap within start…end."""
    turns = np.flatnonzero(np.diff(np.sign(gap[start : end + 1])))
    return zero(sizes, gap, start + int(turns[-1])) if len(turns) else None
