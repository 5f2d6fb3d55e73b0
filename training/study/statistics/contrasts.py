"""A chosen contender against each other one at the largest size, with p-values corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitrail.training.comparison.paired import LEVEL, holm
from vitrail.training.study.statistics.findings import Forecast, SizeGap

Verdict = Literal["clearly worse", "clearly better", "no clear difference"]


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
            return "no clear difference"
        return "clearly worse" if self.gap > 0 else "clearly better"


def contrasts(forecast: Forecast, names: Sequence[str]) -> dict[str, Contrast]:
    """The first of these contenders, which is chosen, against each other one; by the name of the other."""
    chosen, others = names[0], names[1:]
    pairs = [one for one in forecast.pairs if one.measured and one.measured[-1].images == forecast.sizes[-1]]
    gaps = {one.second: (one.measured[-1], True) for one in pairs if one.first == chosen and one.second in others}
    gaps |= {one.first: (one.measured[-1], False) for one in pairs if one.second == chosen and one.first in others}
    corrected = holm([gap.significance for gap, _ in gaps.values()])
    return {
        name: Contrast(name, *behind(gap, chosen_first), gap.significance, p_value)
        for (name, (gap, chosen_first)), p_value in zip(gaps.items(), corrected, strict=True)
    }


def behind(gap: SizeGap, chosen_first: bool) -> tuple[float, float, float]:
    """The gap and its interval, of the other minus the chosen."""
    return (-gap.gap, -gap.high, -gap.low) if chosen_first else (gap.gap, gap.low, gap.high)
