"""What a baseline got wrong at one size: a model that no network was trained for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Baseline:
    """Test images that one baseline got wrong."""

    name: str
    size: int  # labelled images
    wrong: int
    images: int
    reads: Literal["pixels", "features"] = "pixels"  # features of a pretrained network

    @property
    def error(self) -> float:
        return self.wrong / self.images

    def __str__(self) -> str:
        """Its name, and why it is none of the contenders."""
        if self.reads == "pixels":
            return f"{self.name} on pixels, without training a network,"
        return f"the {self.name}, logistic regression on its frozen features,"


def best_at(baselines: Iterable[Baseline], size: int) -> Baseline | None:
    """The first with the lowest error at a size."""
    return min((one for one in baselines if one.size == size), key=lambda one: one.wrong, default=None)
