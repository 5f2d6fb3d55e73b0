"""A held-out share of images in groups: one person, place or burst, of which no two images are in different parts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
ALONE = -1  # the group of an image without one
Group = list[tuple[int, int]]  # the classes of its images, and the number of images of each


@dataclass(frozen=True, eq=False)
class Grouped:
    """The images of groups of two and more; all others are split one by one."""

    held: NDArray[np.bool_]  # [N], whether an image is held out with its group
    alone: NDArray[np.bool_]  # [N]
    has: Indices  # [K], how many images of each class are held out with their groups
    room: Indices  # [K], how many more images may be held out one by one


def hold_out_groups(codes: Indices, groups: Indices, share: float, seed: int, leave: int) -> Grouped:
    """Hold out whole groups, the largest first, while each brings the classes nearer to their shares.

    Every class keeps `leave` groups for the other parts, an image on its own being one; beyond these it gives at least
    one, whatever the size. `codes` [N] are classes from 0 to K - 1.
    """
    counts = np.bincount(codes)
    numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    sizes = np.where(sizes > 1, sizes, 0)
    alone = (groups == ALONE) | (sizes[numbers] == 0)
    tables = list(class_tables(codes[~alone], numbers[~alone]))
    singles = np.bincount(codes[alone], minlength=len(counts))
    left = singles + np.bincount([label for _, table in tables for label, _ in table], minlength=len(counts))
    state = State((share * counts).tolist(), counts.tolist(), singles.tolist(), left.tolist(), leave)
    shuffled = [tables[i] for i in np.random.default_rng(seed).permutation(len(tables)).tolist()]
    ordered = sorted(shuffled, key=lambda one: -sum(count for _, count in one[1]))
    held = {number for number, table in ordered if state.takes(table)}
    held |= {number for number, table in reversed(ordered) if number not in held and state.needs(table)}
    chosen = np.zeros(len(sizes), bool)
    chosen[list(held)] = True
    return Grouped(chosen[numbers] & ~alone, alone, np.array(state.has), np.maximum(np.array(state.left) - leave, 0))


def class_tables(codes: Indices, numbers: Indices) -> Iterator[tuple[int, Group]]:
    """Each group's number and table."""
    if not len(codes):
        return
    width = int(codes.max()) + 1
    pairs, counts = np.unique(numbers * width + codes, return_counts=True)
    owners, labels = np.divmod(pairs, width)
    begins = np.flatnonzero(np.diff(owners, prepend=-1)).tolist()
    rows = list(zip(labels.tolist(), counts.tolist(), strict=True))
    for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
        yield int(owners[begin]), rows[begin:end]


class State:
    """What is held out so far: plain numbers, since groups are many and small."""

    def __init__(self, wanted: list[float], counts: list[int], singles: list[int], left: list[int], leave: int) -> None:
        self.wanted, self.counts, self.singles, self.left, self.leave = wanted, counts, singles, left, leave
        self.has = [0] * len(counts)

    def takes(self, table: Group) -> bool:
        """Hold the group out, if the squared distances from the wanted shares fall by it, in parts of each class.

        A class that single images can fill up either way takes groups too, as far as they fit.
        """
        change = sum(
            (self.distance(label, count) ** 2 - self.distance(label) ** 2) / self.counts[label]
            for label, count in table
        )
        fits = all(self.has[label] + count <= self.wanted[label] for label, count in table)
        return (change < 0 or (change == 0 and fits)) and self.adds(table)

    def distance(self, label: int, more: int = 0) -> float:
        """From the wanted number of images, once single ones fill it up as far as there are any."""
        missing = self.wanted[label] - self.has[label] - more
        return max(0.0, missing - self.singles[label]) if missing > 0 else -missing

    def needs(self, table: Group) -> bool:
        """Hold the group out, if a class has nothing held out and no single image to give."""
        return any(not self.has[label] and not self.singles[label] for label, _ in table) and self.adds(table)

    def adds(self, table: Group) -> bool:
        if any(self.left[label] <= self.leave for label, _ in table):
            return False
        for label, count in table:
            self.has[label] += count
            self.left[label] -= 1
        return True
