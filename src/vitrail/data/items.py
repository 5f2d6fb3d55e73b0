"""The images of a set as they are listed, before any is read; and their three parts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.groups import ALONE
from vitrail.data.names import Names
from vitrail.data.source import PARTS, Part
from vitrail.data.subsets import TEST_SHARE, VAL_SHARE, held_out, three_parts
from vitrail.data.targets import ListedTargets
from vitrail.errors import DataError

Indices = NDArray[np.int64]

SPELLINGS: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid"),
    "test": ("test",),
}
PART_NUMBERS = {name: PARTS.index(part) for part, names in SPELLINGS.items() for name in names}


@dataclass(frozen=True, eq=False)
class Items:
    """Names and targets of all images; parts, groups and weights where they are given."""

    names: Names
    targets: ListedTargets
    parts: NDArray[np.int8] | None = None  # [N], indices of PARTS
    groups: Indices | None = None  # [N]; no two images of a group are in different parts, except of the group ALONE
    weights: NDArray[np.float64] | None = None  # [N]

    def split(self, seed: int, place: str) -> dict[Part, Indices]:
        """The images of each part; parts that are not given are cut from the training images."""
        parts = np.zeros(len(self.names), np.int8) if self.parts is None else self.parts
        rows = {part: np.flatnonzero(parts == number) for number, part in enumerate(PARTS)}
        train = rows["train"]
        wanted: list[Part] = [part for part in PARTS[1:] if not len(rows[part])]
        strata = self.targets.strata()[train]
        groups = None if self.groups is None else self.groups[train]
        if wanted:
            self.refuse_too_few(strata, groups, 1 + len(wanted), place)
        if len(wanted) == 2:
            return {part: train[some] for part, some in three_parts(strata, seed, groups).items()}
        for part in wanted:
            rest, out = held_out(strata, VAL_SHARE if part == "val" else TEST_SHARE, seed, groups)
            rows |= {"train": train[rest], part: train[out]}
        return rows

    def refuse_too_few(self, strata: Indices, groups: Indices | None, least: int, place: str) -> None:
        """Refuse a set, or a class of it, with fewer images or groups than parts."""
        single = self.targets.task == "classification"
        present, codes = np.unique(strata if single else np.zeros_like(strata), return_inverse=True)
        counts = units(codes, groups, len(present))
        if len(counts) and counts.min() >= least:
            return
        rarest = int(counts.argmin()) if len(counts) else 0
        count = int(counts[rarest]) if len(counts) else 0
        what = f"class '{self.targets.classes[present[rarest]]}'" if single and len(counts) else "it"
        unit = "image(s)" if groups is None else "group(s) of images"
        raise DataError(f"{place}: {what} has {count} {unit} to split; it needs at least {least}")


def units(codes: Indices, groups: Indices | None, classes: int) -> Indices:
    """How many groups each class has; an image without a group is one of its own."""
    if groups is None:
        return np.bincount(codes, minlength=classes)
    alone = groups == ALONE
    pairs = np.unique(np.stack([codes[~alone], groups[~alone]]), axis=1)
    return np.bincount(codes[alone], minlength=classes) + np.bincount(pairs[0], minlength=classes)
