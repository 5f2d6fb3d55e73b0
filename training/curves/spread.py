"""How far runs that differ only by their seed lie apart, pooled over sizes and contenders.

Run r of a cell errs on a share e_r of the test pictures. Two runs differ by their seeds, and because each picture is
answered by chance: E[var e_r] = σ² + w, with w the mean over pictures of p(1−p), divided by their number. Three seeds
say little about σ, so all cells speak together: σ = κ·e(1−e), which is to say that κ is a spread of log-odds.
"""

from dataclasses import dataclass

import numpy as np

from vitrail.training.curves.outcomes import Floats, Outcomes


@dataclass(frozen=True)
class SeedSpread:
    """κ² = max(0, between − within), and how many degrees of freedom stand behind `between`."""

    between: float
    within: float
    freedom: float

    @property
    def variance(self) -> float:
        return max(0.0, self.between - self.within)

    def drawn(self, count: int, random: np.random.Generator) -> Floats:
        """κ as it may as well be, [D]: `between` is known as well as its degrees of freedom allow."""
        if self.freedom == 0:
            return np.zeros(count)
        between = self.between * self.freedom / random.chisquare(self.freedom, count)
        return np.asarray(np.sqrt(np.maximum(0.0, between - self.within)))


def seed_spread(outcomes: Outcomes) -> SeedSpread:
    """Cells are weighted by how much each tells about κ; the weights need κ, hence two rounds."""
    runs = outcomes.runs()
    several = runs >= 2
    if not several.any():
        return SeedSpread(0.0, 0.0, 0.0)
    runs = runs[several]
    between, within, error = (part[several] for part in cells(outcomes))
    scale = (error * (1 - error)) ** 2
    variance = 0.0
    for _ in range(2):
        expected = variance * scale + np.maximum(within, 1e-12)
        weight = (runs - 1) * scale / expected**2
        weight /= (weight * scale).sum()
        variance = max(0.0, float((weight * (between - within)).sum()))
    expected = variance * scale + within
    # Satterthwaite: the degrees of freedom of a chi-square with this mean and variance.
    freedom = (weight * expected).sum() ** 2 / (weight**2 * expected**2 / (runs - 1)).sum()
    return SeedSpread(float((weight * between).sum()), float((weight * within).sum()), float(freedom))


def cells(outcomes: Outcomes) -> tuple[Floats, Floats, Floats]:
    """Of each cell: variance between runs' errors, the part that pictures answered by chance explain, mean error."""
    count = outcomes.pictures
    runs = outcomes.runs()
    done = outcomes.done
    error = outcomes.wrong.mean(axis=3)  # [C, S, R]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (error * done).sum(axis=2) / runs
        between = (((error - mean[:, :, None]) * done) ** 2).sum(axis=2) / (runs - 1)
        share = outcomes.shares()
        within = (share * (1 - share)).mean(axis=2) * runs / (runs - 1) / count
    # A cell without a mistake, or with nothing but mistakes, still has an error between 0 and 1.
    return between, within, (mean * count + 0.5) / (count + 1)
