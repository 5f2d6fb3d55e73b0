"""Splits and subsets: seeded, stratified and nested, as pure functions of the labels."""

import numpy as np
from numpy.typing import NDArray

from vitrail.data.groups import ALONE, hold_out_groups
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
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    position = np.empty(len(labels))
    position[shuffled] = ranks(codes[shuffled]) / counts[codes[shuffled]]
    return np.lexsort((random.permutation(len(labels)), position))


def ranks(codes: Indices) -> Indices:
    """How many of the same class come before each image."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    out = np.empty(len(codes), np.int64)
    out[order] = np.arange(len(codes)) - (np.cumsum(counts) - counts)[codes[order]]
    return out


def nested_subset(labels: Indices, count: int, seed: int) -> Indices:
    """`count` images, stratified; a larger count with the same seed contains a smaller one."""
    classes = len(np.unique(labels))
    if not classes <= count <= len(labels):
        raise DataError(
            f"a subset of {count} images cannot be taken: it needs at least one of each of the {classes} classes "
            f"and there are {len(labels)}"
        )
    return np.sort(stratified_order(labels, seed)[:count])


def held_out(
    labels: Indices, share: float, seed: int, groups: Indices | None = None, leave: int = 1
) -> tuple[Indices, Indices]:
    """Indices of the rest and of the held-out share of every class, at least one image in each.

    No group is in both; of each class `leave` groups stay in the rest. An image without a group is a group of one.
    """
    codes = np.unique(labels, return_inverse=True)[1]
    if groups is None:
        groups, leave = np.full(len(labels), ALONE), 1
    grouped = hold_out_groups(codes, groups, share, seed, leave)
    wanted = np.maximum(1, np.round(share * np.bincount(codes)).astype(np.int64)) - grouped.has
    order = stratified_order(labels, seed)
    order = order[grouped.alone[order]]
    held = grouped.held
    held[order[ranks(codes[order]) < np.minimum(wanted, grouped.room)[codes[order]]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def three_parts(labels: Indices, seed: int, groups: Indices | None = None) -> dict[Part, Indices]:
    """Train, val and test: a fifth is test, a fifth of the rest validation."""
    rest, test = held_out(labels, TEST_SHARE, seed, groups, leave=2)
    train, val = held_out(labels[rest], VAL_SHARE, seed + 1, None if groups is None else groups[rest])
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
