"""Splits and subsets: seeded, stratified and nested, as pure functions of the labels."""

import numpy as np
from numpy.typing import NDArray

from vitrail.data.source import Part
from vitrail.errors import DataError

Indices = NDArray[np.int64]

TEST_SHARE = 0.2
VAL_SHARE = 0.2  # of what is left


def stratified_order(labels: Indices, seed: int) -> Indices:
    """An order in which every prefix is stratified, and one of each class comes first.

    The i-th of n images of a class stands at i / n on a line from 0 to 1; prefixes are therefore nested.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position[members] = np.arange(len(members)) / len(members)
    return np.lexsort((random.permutation(len(labels)), position))


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
    """Indices of the rest and of the held-out share of every class, at least one image in each."""
    order = stratified_order(labels, seed)
    out: list[int] = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        out.extend(members[:count])
    chosen = np.sort(np.array(out, np.int64))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def three_parts(labels: Indices, seed: int) -> dict[Part, Indices]:
    """Train, val and test: a fifth is test, a fifth of the rest validation."""
    rest, test = held_out(labels, TEST_SHARE, seed)
    train, val = held_out(labels[rest], VAL_SHARE, seed + 1)
    return {"train": rest[train], "val": rest[val], "test": test}


def sizes_for(count: int, classes: int, available: int) -> tuple[int, int]:
    """The numbers of training and validation images among `count`: a fifth, at least one a class, is for validation."""
    val = min(max(classes, round(VAL_SHARE * count)), available)
    if count - val < classes:
        raise DataError(f"{count} images are too few for {classes} classes: take at least {2 * classes}")
    return count - val, val


def rarest_label(labels: NDArray[np.bool_]) -> Indices:
    """Strata of multilabel images [N, K]: the rarest label of each, [N], or K where it has none."""
    count = labels.sum(axis=0)
    order = np.argsort(count, kind="stable")  # the rarest first
    first = labels[:, order].argmax(axis=1)
    rarest: Indices = np.where(labels.any(axis=1), order[first], labels.shape[1])
    return rarest
