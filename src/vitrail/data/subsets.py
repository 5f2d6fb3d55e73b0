"""Which images: seeded, stratified, nested choices, as pure functions of the labels."""

import numpy as np
from numpy.typing import NDArray

from vitrail.data.source import Part
from vitrail.errors import DataError

Indices = NDArray[np.int64]

TEST_SHARE = 0.2
VAL_SHARE = 0.2  # of what is left


def stratified_order(labels: Indices, seed: int) -> Indices:
    """An order in which every prefix holds each class in its share, and one of each class comes first.

    The i-th of n images of a class stands at i / n on a line from 0 to 1; prefixes are therefore nested.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = np.arange(len(members)) / len(members)
    return np.lexsort((random.permutation(len(labels)), place))


def nested_subset(labels: Indices, count: int, seed: int) -> Indices:
    """`count` images, stratified; a larger count with the same seed contains a smaller one."""
    classes = len(np.unique(labels))
    if not classes <= count <= len(labels):
        raise DataError(
            f"a subset of {count} images cannot be taken: it needs at least one of each of the {classes} classes "
            f"and there are {len(labels)}"
        )
    return np.sort(stratified_order(labels, seed)[:count])


def held_out(labels: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """Indices kept and held out: of every class its share, rounded, at least one on either side."""
    order = stratified_order(labels, seed)
    out: list[int] = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        out.extend(members[:count])
    chosen = np.sort(np.array(out, np.int64))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def three_parts(labels: Indices, seed: int) -> dict[Part, Indices]:
    """One pile as train, val and test: a fifth is test, a fifth of the rest validation."""
    rest, test = held_out(labels, TEST_SHARE, seed)
    train, val = held_out(labels[rest], VAL_SHARE, seed + 1)
    return {"train": rest[train], "val": rest[val], "test": test}


def sizes_for(count: int, classes: int, available: int) -> tuple[int, int]:
    """How many of `count` labelled images train and how many validate: a fifth, at least one a class."""
    val = min(max(classes, round(VAL_SHARE * count)), available)
    if count - val < classes:
        raise DataError(f"{count} images are too few for {classes} classes: take at least {2 * classes}")
    return count - val, val
