"""Which sizes: as given or growing geometrically, checked against the images that there are."""

import numpy as np

from vitrail.data import Part, Source
from vitrail.data.subsets import sizes_for
from vitrail.errors import DataError
from vitrail.training.study.plan import Geometric


def settle_sizes(asked: tuple[int, ...] | Geometric, source: Source) -> tuple[int, ...]:
    """Labelled images of every step of the curve, ascending; what the images cannot give is refused."""
    refuse_missing_classes(source)
    train, val, classes = len(source.labels("train")), len(source.labels("val")), len(source.classes)
    most = most_images(train, val, classes)
    sizes = grown(asked, most) if isinstance(asked, Geometric) else asked
    if sizes[-1] > most:
        raise DataError(
            f"{source.name} has {most:,} labelled images to learn from, validation included: "
            f"a size of {sizes[-1]:,} is above that"
        )
    for size in sizes:
        sizes_for(size, classes, val)
    return sizes


def grown(asked: Geometric, most: int) -> tuple[int, ...]:
    """Geometric sizes, rounded; fewer than asked for where rounding makes two of them one."""
    largest = most if asked.largest is None else asked.largest
    if largest <= asked.smallest:
        raise DataError(f"sizes cannot grow from {asked.smallest:,} to the {largest:,} labelled images that there are")
    steps = np.geomspace(asked.smallest, largest, asked.count)
    return tuple(sorted({round(float(step)) for step in steps}))


def most_images(train: int, val: int, classes: int) -> int:
    """The largest size whose share for training and whose share for validation are both there."""
    size = train + val
    while size > 2 * classes and sizes_for(size, classes, val)[0] > train:
        size -= 1
    return size


def refuse_missing_classes(source: Source) -> None:
    """Every subset needs an image of every class to learn from and one to validate with."""
    purposes: dict[Part, str] = {"train": "to learn from", "val": "to validate with", "test": "to test with"}
    for part, purpose in purposes.items():
        counts = np.bincount(source.labels(part), minlength=len(source.classes))
        missing = [name for name, count in zip(source.classes, counts, strict=True) if not count]
        if missing:
            raise DataError(
                f"{source.name} has too few images of class {', '.join(repr(name) for name in missing)}: "
                f"a study needs at least one {purpose}"
            )
