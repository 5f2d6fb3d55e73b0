"""What a baseline got wrong at one size: a model of the pixels that no network was trained for."""

from collections.abc import Iterable
from dataclasses import dataclass


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


def best_at(baselines: Iterable[Baseline], size: int) -> Baseline | None:
    """The first with the lowest error at a size."""
    return min((one for one in baselines if one.size == size), key=lambda one: one.wrong, default=None)
