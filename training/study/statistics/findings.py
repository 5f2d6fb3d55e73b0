"""What a forecast says, as plain dataclasses: `asdict` of a Forecast is what `curves.json` holds."""

from dataclasses import dataclass

from vitrail.training.study.statistics.crossing import Crossing
from vitrail.training.study.statistics.images_needed import Needed, NextImages


@dataclass(frozen=True)
class Point:
    """One contender at one size, as measured."""

    images: int
    seeds: int
    error: float
    low: float
    high: float
    seed_spread: float  # standard deviation between runs that differ by their seed only, by the law of all cells
    measured_spread: float | None  # of the errors of this cell's own runs, chance included; None with one run


@dataclass(frozen=True)
class LawFit:
    """One law: how much it counts, its numbers, and what it foretold of the largest size when that was hidden."""

    name: str
    formula: str  # with x = n / the contender's largest size
    weight: float
    numbers: dict[str, float]
    foretold: float | None


@dataclass(frozen=True)
class BackTest:
    """The largest size hidden, foretold from the smaller ones, and then looked at."""

    images: int
    foretold: float
    low: float
    high: float
    measured: float
    off: float  # |foretold − measured|


@dataclass(frozen=True)
class Curve:
    """The averaged curve, on the forecast's grid, with its band."""

    laws: tuple[LawFit, ...]
    error: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    needed: tuple[Needed, ...]
    next_images: NextImages | None  # None where they lie beyond reach


@dataclass(frozen=True)
class Contender:
    """One contender: what was measured, what is foretold, and how good such foretelling was."""

    name: str
    points: tuple[Point, ...]
    ill_behaved: str | None  # why there is no curve
    curve: Curve | None
    back_test: BackTest | None


@dataclass(frozen=True)
class SizeGap:
    """Two contenders at a size where both were measured: error of the first less that of the second."""

    images: int
    gap: float
    low: float
    high: float
    standard_error: float
    first_ahead: float  # how probable it is
    significance: float  # two-sided, paired


@dataclass(frozen=True)
class Pair:
    """Two contenders, compared."""

    first: str
    second: str
    measured: tuple[SizeGap, ...]
    gap: tuple[float, ...]  # on the grid, as are the next three; empty where one of the two has no curve
    low: tuple[float, ...]
    high: tuple[float, ...]
    first_ahead: tuple[float, ...]
    crossing: Crossing


@dataclass(frozen=True)
class Forecast:
    """What a study tells. All intervals are 90 % ones, all errors shares of test images."""

    sizes: tuple[int, ...]
    test_images: int
    reach: float  # the grid ends at so many times the largest size; nothing is said beyond
    draws: int
    grid: tuple[float, ...]  # labelled images
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
