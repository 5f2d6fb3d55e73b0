"""The results of the statistics as plain dataclasses: `curves.json` is `asdict` of a Forecast."""

from dataclasses import dataclass

from vitrail.training.study.statistics.crossing import Crossing
from vitrail.training.study.statistics.images_needed import ImagesNeeded, NextImages
from vitrail.training.study.statistics.next_measurement import NextMeasurement


@dataclass(frozen=True)
class Point:
    """One contender at one size, as measured."""

    images: int
    seeds: int
    collapsed: int  # of these runs
    error: float  # expected of a run, those that collapse included at their rate
    low: float
    high: float
    seed_spread: float  # standard deviation between seeds, estimated from all sizes
    measured_spread: float | None  # standard deviation of the errors of runs that did not collapse; None with one
    limited: bool = False  # longer runs would be better, or may be: this point takes no part in the curve


@dataclass(frozen=True)
class LawFit:
    """One law: its weight, its parameters, and its forecast of the largest size when that was held out."""

    name: str
    formula: str  # with x = n / the contender's largest size
    weight: float
    numbers: dict[str, float]
    forecast: float | None


@dataclass(frozen=True)
class BackTest:
    """The forecast of the largest size from the smaller ones, beside the measured error."""

    images: int
    forecast: float
    low: float
    high: float
    measured: float
    off: float  # |forecast − measured|


@dataclass(frozen=True)
class Curve:
    """The averaged curve on the forecast's grid, from its start to the end of this curve, with its band."""

    laws: tuple[LawFit, ...]
    error: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    images_needed: tuple[ImagesNeeded, ...]
    next_images: NextImages | None  # None if they lie beyond the grid


@dataclass(frozen=True)
class Contender:
    """One contender: measured points, fitted curve and back-test."""

    name: str
    points: tuple[Point, ...]
    ill_behaved: str | None  # why there is no curve
    refused: str | None  # why there is no forecast
    curve: Curve | None
    back_test: BackTest | None


@dataclass(frozen=True)
class SizeGap:
    """Two contenders at a size where both were measured: error of the first minus that of the second."""

    images: int
    gap: float
    low: float
    high: float
    standard_error: float
    first_ahead: float  # probability
    significance: float  # p-value, two-sided, paired


@dataclass(frozen=True)
class Pair:
    """Two contenders, compared."""

    first: str
    second: str
    measured: tuple[SizeGap, ...]
    gap: tuple[float, ...]  # on the grid up to the end of the shorter curve, as are the next three
    low: tuple[float, ...]
    high: tuple[float, ...]
    first_ahead: tuple[float, ...]
    crossing: Crossing


@dataclass(frozen=True)
class Forecast:
    """All results of a study. Intervals are 90 % intervals, of crossings 97 %; errors are shares of the test images."""

    sizes: tuple[int, ...]
    test_images: int
    shock: float  # relative standard deviation of what all runs of a cell share
    draws: int
    grid: tuple[float, ...]  # labelled images
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
    next_measurement: NextMeasurement | None = None  # None if a leader is known, or in a study of an earlier version

    def end_of(self, curve: Curve | Pair) -> float:
        """The images up to which a curve, or the gap of two, is drawn."""
        return self.grid[len(curve.error if isinstance(curve, Curve) else curve.gap) - 1]
