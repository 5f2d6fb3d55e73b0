"""The sizes of a study: given or geometric, checked against the available images."""

import numpy as np

from vitrail.data import Part, Source
from vitrail.data.subsets import sizes_for
from vitrail.errors import DataError
from vitrail.training.study.plan import All, Geometric


def resolve_sizes(given: tuple[int, ...] | Geometric | All, source: Source) -> tuple[int, ...]:
    """Numbers of labelled images, ascending; an error if there are too few images for one."""
    refuse_missing_classes(source)
    train, val, classes = len(source.labels("train")), len(source.labels("val")), len(source.classes)
    most = most_images(train, val, classes)
    sizes = (most,) if given == "all" else geometric_sizes(given, most) if isinstance(given, Geometric) else given
    if sizes[-1] > most:
        raise DataError(
            f"{source.name} has {most:,} labelled images for training and validation: "
            f"a size of {sizes[-1]:,} is too large"
        )
    for size in sizes:
        sizes_for(size, classes, val)
    return sizes


def geometric_sizes(given: Geometric, most: int) -> tuple[int, ...]:
    """Geometric sizes, rounded; fewer than `count` where two of them round to the same number."""
    largest = most if given.largest is None else given.largest
    if largest <= given.smallest:
        raise DataError(f"sizes cannot grow from {given.smallest:,} to {largest:,}, the number of labelled images")
    steps = np.geomspace(given.smallest, largest, given.count)
    return tuple(sorted({round(float(step)) for step in steps}))


def most_images(train: int, val: int, classes: int) -> int:
    """The largest size with enough images for both its training share and its validation share."""
    size = train + val
    while size > 2 * classes and sizes_for(size, classes, val)[0] > train:
        size -= 1
    return size


def refuse_missing_classes(source: Source) -> None:
    """Every part needs an image of every class."""
    purposes: dict[Part, str] = {"train": "for training", "val": "for validation", "test": "for the test"}
    for part, purpose in purposes.items():
        counts = np.bincount(source.labels(part), minlength=len(source.classes))
        missing = [name for name, count in zip(source.classes, counts, strict=True) if not count]
        if missing:
            raise DataError(
                f"{source.name} has too few images of class {', '.join(repr(name) for name in missing)}: "
                f"a study needs at least one {purpose}"
            )
