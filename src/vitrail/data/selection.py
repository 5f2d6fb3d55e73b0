"""Which images of a source a run uses: all options that decide it, as checkpoints store them."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents
from vitrail.data.source import PARTS, Part, Source
from vitrail.data.subsets import nested_subset, sizes_for
from vitrail.own_class import Plain


@dataclass(frozen=True)
class Selection:
    """The options of the data that decide which part an image is in, if any."""

    path: str | Plain  # or the class and the arguments of a source of one's own
    seed: int = 0  # of the split
    images: int | None = None  # the size of the subset of train and val, if any
    draw: int = 0  # which of several subsets of this size
    skipped: tuple[int, ...] = ()  # images by content that do not decode, where the run leaves such images out

    def chosen(self, source: Source) -> dict[Part, NDArray[np.int64]]:
        """The indices of the used images of each part, in order; a part used as a whole is left out."""
        chosen = self.subset(source)
        if not self.skipped:
            return chosen
        every = {part: chosen.get(part, np.arange(len(source.labels(part)))) for part in PARTS}
        corrupt = {
            part: np.isin(source.contents(part).images[indices], self.skipped) for part, indices in every.items()
        }
        return {part: indices[~corrupt[part]] for part, indices in every.items()}

    def subset(self, source: Source) -> dict[Part, NDArray[np.int64]]:
        if self.images is None:
            return {}
        train, val = source.labels("train"), source.labels("val")
        sizes = sizes_for(self.images, len(np.unique(train)), len(val))
        return {
            "train": nested_subset(train, sizes[0], self.seed + self.draw),
            "val": nested_subset(val, sizes[1], self.seed + self.draw),
        }

    def contents(self, source: Source, part: Part) -> Contents:
        """The used images of a part, by content."""
        return source.contents(part).take(self.chosen(source).get(part))

    @property
    def place(self) -> str:
        """The path, or the name of one's own class, for people."""
        return self.path if isinstance(self.path, str) else str(self.path["class_path"])

    def why_not(self, run: "Selection") -> str:
        """Why images may differ from those of a run, and the way out."""
        here, there = asdict(self), asdict(run)
        options = [name for name in here if name not in ("path", "skipped") and here[name] != there[name]]
        if options:
            return "; ".join(f"--data.{name} is {here[name]}, the run's {there[name]}" for name in options)
        return (
            f"files at {self.place} were added, removed, renamed, moved or edited since. Restore them, "
            "name an unchanged copy with --data.path, or train again with `vitrail fit`"
        )
