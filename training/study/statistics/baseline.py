"""What a baseline got wrong at one size: a model of the pixels that no network was trained for."""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import beta

from vitrail.training.study.statistics.difference import HIGH, LOW


@dataclass(frozen=True)
class Baseline:
    """Test images that one baseline got wrong."""

    name: str
    size: int  # labelled images
    wrong: int
    images: int

    @property
    def error(self) -> float:
        return self.wrong / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Jeffreys' 90 % interval of the error."""
        low, high = beta(self.wrong + 0.5, self.images - self.wrong + 0.5).ppf([LOW, HIGH])
        return float(low), float(high)


def best_at(baselines: Iterable[Baseline], size: int) -> Baseline | None:
    """The first with the lowest error at a size."""
    return min((one for one in baselines if one.size == size), key=lambda one: one.wrong, default=None)
