"""Images of the test or validation part that are also trained or selected on, by content."""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Literal

import numpy as np

from vitrail.data.contents import Contents
from vitrail.data.record import PART_NAMES, TRAINED_BEFORE
from vitrail.data.source import Part
from vitrail.errors import DataError

Duplicates = Literal["refuse", "allow"]


@dataclass(frozen=True)
class Leak:
    """The images of one part whose content is also in an earlier one."""

    part: Part
    earlier: Part
    pairs: tuple[tuple[str, str], ...]  # the image's name, and that of the first of its copies there
    count: int  # of all images of the part

    def __str__(self) -> str:
        here, there = self.pairs[0]
        return (
            f"{len(self.pairs):,} of {self.count:,} {PART_NAMES[self.part]} images are {PART_NAMES[self.earlier]} "
            f"images too (the first: {here} is {there})"
        )


def refuse_leaks(contents: Mapping[Part, Contents], path: str) -> None:
    """Refuse parts that share images, the worst first; `path` is where the user finds them."""
    found = leaks(contents)
    if found:
        raise DataError(
            f"{'; '.join(map(str, found))}: remove the copies from one of the parts, or keep them with "
            f"--data.duplicates=allow (`vitrail data check {quote(path)}` lists them)"
        )


def leaks(contents: Mapping[Part, Contents]) -> tuple[Leak, ...]:
    """Test images that are trained on, test images that are validated on, validation images that are trained on."""
    pairs = [(part, earlier) for part, before in TRAINED_BEFORE.items() for earlier in before]
    found = (leak(part, contents[part], earlier, contents[earlier]) for part, earlier in pairs if part in contents)
    return tuple(one for one in found if one.pairs)


def leak(part: Part, here: Contents, earlier: Part, there: Contents) -> Leak:
    leaked = np.flatnonzero(np.isin(here.images, there.images))
    first = {int(key): index for index, key in reversed(list(enumerate(there.images.tolist())))} if len(leaked) else {}
    pairs = tuple((here.names[i], there.names[first[int(here.images[i])]]) for i in leaked.tolist())
    return Leak(part, earlier, pairs, len(here))
