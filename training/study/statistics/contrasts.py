"""One contender against each other one at the largest size, with p-values corrected for the number of comparisons."""

from dataclasses import dataclass
from typing import Literal

from vitrail.training.comparison.paired import LEVEL, holm
from vitrail.training.study.statistics.findings import Forecast, SizeGap

Verdict = Literal["clearly worse", "clearly better", "cannot be told apart"]


@dataclass(frozen=True)
class Contrast:
    """A contender's test error minus that of the chosen one."""

    name: str
    gap: float
    low: float
    high: float
    p_value: float
    corrected: float

    @property
    def verdict(self) -> Verdict:
        if self.corrected >= LEVEL:
            return "cannot be told apart"
        return "clearly worse" if self.gap > 0 else "clearly better"


def contrasts(forecast: Forecast, chosen: str) -> dict[str, Contrast]:
    """By contender, of those with runs at the largest size."""
    gaps = {
        pair.second if pair.first == chosen else pair.first: (pair.first == chosen, pair.measured[-1])
        for pair in forecast.pairs
        if chosen in (pair.first, pair.second) and pair.measured and pair.measured[-1].images == forecast.sizes[-1]
    }
    corrected = holm([one.significance for _, one in gaps.values()])
    return {
        name: Contrast(name, *behind(gap, chosen_first), gap.significance, p_value)
        for (name, (chosen_first, gap)), p_value in zip(gaps.items(), corrected, strict=True)
    }


def behind(gap: SizeGap, chosen_first: bool) -> tuple[float, float, float]:
    """The gap and its interval, of the other minus the chosen."""
    return (-gap.gap, -gap.high, -gap.low) if chosen_first else (gap.gap, gap.low, gap.high)
