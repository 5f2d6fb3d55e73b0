"""The images that a run used, by content, and the refusal of data that differ from them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents, Keys
from vitrail.data.source import Part
from vitrail.errors import DataError

PART_NAMES: dict[Part, str] = {"train": "training", "val": "validation", "test": "test"}
TRAINED_BEFORE: dict[Part, tuple[Part, ...]] = {"test": ("train", "val"), "val": ("train",), "train": ()}


@dataclass(frozen=True, eq=False)
class Record:
    """For each part of a run the keys of images and targets, int64 [N, 2], sorted. 16 bytes an image.

    The rule: a command that reads a part gets exactly the images and targets that the part held when the run was
    fitted, duplicates included. Names, order and folders do not matter. So an unchanged set is never refused,
    whatever duplicates it holds, and an image that the run trained on cannot enter the test part. A set of another
    name may hold other images, to evaluate the run on, but none that the run has seen.
    """

    parts: Mapping[Part, NDArray[np.int64]]
    # Images [M], sorted, that earlier runs trained or validated on: the one it started from, and that of its teacher.
    earlier: Keys = field(default_factory=lambda: np.empty(0, np.int64))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or self.parts.keys() != other.parts.keys():
            return NotImplemented
        return np.array_equal(self.earlier, other.earlier) and all(
            np.array_equal(pairs, other.parts[part]) for part, pairs in self.parts.items()
        )

    @classmethod
    def of(
        cls, parts: Mapping[Part, Contents], start: "Record | None" = None, teacher: "Record | None" = None
    ) -> "Record":
        """Of a run with these parts; the run that it starts from and its teacher's must not have seen its test part."""
        earlier = [np.empty(0, np.int64)]
        for run, role in (
            (start, "whose weights this one starts from: choose others"),
            (teacher, "which teaches this one: choose another teacher"),
        ):
            if run is not None:
                if leak := run.leak("test", parts["test"]):
                    raise DataError(f"{leak}, {role}, or another test part")
                earlier.append(run.seen("test"))
        pairs = {part: sorted_pairs(contents) for part, contents in parts.items()}
        return cls(pairs, np.unique(np.concatenate(earlier)))

    def refuse_contradiction(self, here: Mapping[Part, Contents], cause: str) -> None:
        """Refuse parts that have changed; `cause` is the likely reason."""
        for part in ("test", "val", "train"):  # the worst first
            if part in here and (contradiction := self.contradiction(part, here[part])):
                raise DataError(f"{contradiction}: {cause}")

    def refuse_seen(self, here: Mapping[Part, Contents]) -> None:
        """Refuse parts of another set that hold images which the run has seen."""
        for part, contents in here.items():
            if leak := self.leak(part, contents):
                raise DataError(f"{leak}: evaluate it on images that it has not seen")

    def contradiction(self, part: Part, here: Contents) -> str | None:
        """How a part has changed, with the number of images and the name of the first."""
        there, pairs = self.parts[part], sorted_pairs(here)
        if np.array_equal(pairs, there):
            return None
        return (
            self.leak(part, here)
            or f"the {PART_NAMES[part]} images are not those of this run: {difference(there, here)}"
        )

    def leak(self, part: Part, here: Contents) -> str | None:
        """The images of a part that the run saw in another part, with the name of the first."""
        leaked = np.isin(here.images, self.seen(part)) & ~np.isin(here.images, self.parts[part][:, 0])
        if not leaked.any():
            return None
        what = "trained or validated on" if part == "test" else "trained on"
        first = here.names[int(leaked.argmax())]
        return (
            f"{leaked.sum():,} of {len(here):,} {PART_NAMES[part]} images were {what} by the run (the first: {first})"
        )

    def seen(self, part: Part) -> Keys:
        """The images that must not be in a part."""
        earlier = self.earlier if part == "test" else self.earlier[:0]
        return np.unique(np.concatenate([earlier, *(self.parts[other][:, 0] for other in TRAINED_BEFORE[part])]))


def sorted_pairs(contents: Contents) -> NDArray[np.int64]:
    return np.stack([contents.images, contents.targets], axis=1)[np.lexsort((contents.targets, contents.images))]


def difference(there: NDArray[np.int64], here: Contents) -> str:
    """The numbers of images that are new, have another target or are missing, with the first name of each."""
    left = Counter(map(tuple, there.tolist()))
    new: list[int] = []
    for index, pair in enumerate(zip(here.images.tolist(), here.targets.tolist(), strict=True)):
        left[pair] -= 1
        if left[pair] < 0:
            new.append(index)
    missing = Counter(image for (image, _), count in left.items() for _ in range(count))
    relabelled = []
    for index in new:
        image = int(here.images[index])
        if missing[image] > 0:
            missing[image] -= 1
            relabelled.append(index)
    added = sorted(set(new) - set(relabelled))
    notes = [named(added, "new or edited", here), named(relabelled, "with another target", here)]
    if missing.total():
        notes.append(f"{missing.total():,} missing")
    return ", ".join(filter(None, notes))


def named(indices: list[int], what: str, here: Contents) -> str:
    return f"{len(indices):,} {what} (the first: {here.names[indices[0]]})" if indices else ""
