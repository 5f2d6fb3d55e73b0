"""How sure a measured number is; of a share, Wilson's interval."""

from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """`hits` of `total`, with the 95 % interval around their ratio."""

    hits: int
    total: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Estimate:
    """A measured number of any kind, with the 95 % interval around it."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def wilson(hits: int, total: int) -> Share:
    """The share with Wilson's 95 % interval, which stays inside 0…1 and holds for few images too."""
    if total == 0:
        return Share(0, 0, 0.0, 0.0, 1.0)  # nothing seen, nothing known
    share = hits / total
    spread = Z_95**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == total else min(1.0, centre + half)
    return Share(hits, total, share, low, high)
