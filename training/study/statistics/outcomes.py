"""The outcomes of a study: for every run, which test images it got wrong."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import DataError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """Predictions of all runs for the same test images in the same order.

    A missing run is False in `done`; its entries in `wrong` are ignored.
    """

    contenders: tuple[str, ...]
    sizes: tuple[int, ...]  # ascending, labelled images
    seeds: tuple[int, ...]
    wrong: Flags  # [contender, size, seed, test image]
    done: Flags = field(default_factory=lambda: np.ones(0, np.bool_))  # [contender, size, seed]; all, if not given
    # [contender, size]: whether longer runs would be better, or may be; none, if not given
    limited: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        grid = (len(self.contenders), len(self.sizes), len(self.seeds))
        if self.done.size == 0:
            object.__setattr__(self, "done", np.ones(grid, np.bool_))
        if self.limited.size == 0:
            object.__setattr__(self, "limited", np.zeros(grid[:2], np.bool_))
        if self.wrong.shape[:3] != grid or self.done.shape != grid or self.limited.shape != grid[:2]:
            raise DataError(
                f"{grid} contenders, sizes and seeds need predictions and finished runs of that shape, not "
                f"{self.wrong.shape} and {self.done.shape}"
            )
        if self.wrong.shape[3] == 0:
            raise DataError("a study needs test images")
        if list(self.sizes) != sorted({size for size in self.sizes if size > 0}):
            raise DataError(f"sizes must be positive, ascending and different: {self.sizes}")
        if len(set(self.contenders)) < len(self.contenders) or len(set(self.seeds)) < len(self.seeds):
            raise DataError(f"contenders and seeds must be different: {self.contenders}, {self.seeds}")

    @property
    def images(self) -> int:
        return int(self.wrong.shape[3])

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """The number of seeds of each contender and size, [C, S]."""
        return np.asarray(self.done.sum(axis=2), np.int64)

    @property
    def fitted(self) -> Flags:
        """The cells that curves are fitted to, [C, S]: those with runs that were trained out."""
        return np.asarray((self.runs > 0) & ~self.limited)

    @cached_property
    def shares(self) -> Floats:
        """The share of seeds that got each image wrong, [C, S, T]; NaN without runs."""
        wrong = np.einsum("csrt,csr->cst", self.wrong, self.done, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(wrong / self.runs[:, :, None])

    @cached_property
    def errors(self) -> Floats:
        """Mean errors, [C, S], with half a wrong and half a correct image added, so that none is 0 or 1."""
        return np.asarray((self.shares.sum(axis=2) + 0.5) / (self.images + 1))

    def without(self, runs: Flags) -> "Outcomes":
        """Without some of the runs, [C, S, R]."""
        return replace(self, done=self.done & ~runs)

    def first_seeds(self, count: int) -> "Outcomes":
        return replace(self, seeds=self.seeds[:count], wrong=self.wrong[:, :, :count], done=self.done[:, :, :count])
