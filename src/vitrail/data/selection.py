"""Which images of a source a run uses: every option that decides it, in one place that checkpoints keep."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents
from vitrail.data.source import Part, Source
from vitrail.data.subsets import nested_subset, sizes_for


@dataclass(frozen=True)
class Selection:
    """The options of the data by which an image comes into a part, or into none."""

    path: str
    seed: int = 0  # of the split
    images: int | None = None  # the size of the subset of train and val, if there is one
    draw: int = 0  # which of many subsets

    def chosen(self, source: Source) -> dict[Part, NDArray[np.int64]]:
        """The images of each part that are used, in order; a part that is used as a whole is left out."""
        if self.images is None:
            return {}
        train, val = source.labels("train"), source.labels("val")
        sizes = sizes_for(self.images, len(np.unique(train)), len(val))
        return {
            "train": nested_subset(train, sizes[0], self.seed + self.draw),
            "val": nested_subset(val, sizes[1], self.seed + self.draw),
        }

    def contents(self, source: Source, part: Part) -> Contents:
        """The images of a part that are used, by content."""
        return source.contents(part).take(self.chosen(source).get(part))

    def why_not(self, run: "Selection") -> str:
        """Why images may not be those of a run, and what can be done."""
        here, there = asdict(self), asdict(run)
        options = [name for name in here if name != "path" and here[name] != there[name]]
        if options:
            return "; ".join(f"--data.{name} is {here[name]}, the run's {there[name]}" for name in options)
        return (
            f"files at {self.path} were added, removed, renamed, moved or edited since. Restore them, "
            "name an unchanged copy with --data.path, or train again with `vitrail fit`"
        )
