"""Images that are in a set more than once: byte for byte, or nearly; in which parts, and under which labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.findings import EXAMPLES, GROUP, Example, Finding
from vitrail.data.check.near import MOST_PAIRS, Pairs, near_pairs
from vitrail.data.check.scan import Thumbnails
from vitrail.data.contents import Keys
from vitrail.data.record import PART_NAMES, TRAINED_BEFORE
from vitrail.data.source import PARTS, Part

KEEP_ONE = "keep one of each group"
KEEP_TOGETHER = "move the images of a group into one part, or remove all but one"
RELABEL = "decide on one label, and remove the other copies"


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a set that decode, of all parts."""

    names: Sequence[str]
    parts: NDArray[np.int64]  # [N], indices of PARTS
    contents: Keys  # [N]
    targets: Keys  # [N]
    classes: Sequence[str]  # the name of each image's class, or empty
    thumbnails: Thumbnails
    sides: NDArray[np.int64]  # [N], the shorter ones


@dataclass(frozen=True, eq=False)
class Repeats:
    """The copies among these images: `first` of an image is the first that equals it byte for byte."""

    images: Images
    first: NDArray[np.int64]  # [N]
    pairs: Pairs  # of first images that are nearly alike

    @classmethod
    def among(cls, images: Images) -> "Repeats":
        _, chosen, inverse = np.unique(images.contents, return_index=True, return_inverse=True)
        first = chosen[inverse]
        alone = np.flatnonzero(first == np.arange(len(first)))
        near = near_pairs(images.thumbnails[alone], images.sides[alone])
        return cls(images, first, Pairs(alone[near.first], alone[near.second], near.cosine, near.is_complete))

    def copies(self, index: int) -> NDArray[np.int64]:
        """All images that equal this one."""
        return np.flatnonzero(self.first == self.first[index])

    def bits(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each first image the union of 1 << value over its copies."""
        found = np.zeros(len(self.first), np.int64)
        np.bitwise_or.at(found, self.first, 1 << values)
        return found


def findings_of(repeats: Repeats, compares_targets: bool) -> Iterator[Finding]:
    """The worst first; near copies are compared by target only where a target is a label."""
    yield from exact_leaks(repeats)
    yield from near_leaks(repeats)
    yield from exact_conflicts(repeats)
    if compares_targets:
        yield from near_conflicts(repeats)
    yield from exact_duplicates(repeats)
    yield from near_duplicates(repeats)


def parts_in_question() -> Iterator[tuple[Part, Part]]:
    """Each part that measures, with each that must not hold its images."""
    return ((part, earlier) for part, before in TRAINED_BEFORE.items() for earlier in before)


def exact_leaks(repeats: Repeats) -> Iterator[Finding]:
    images, present = repeats.images, repeats.bits(repeats.images.parts)[repeats.first]
    for part, earlier in parts_in_question():
        here, there = PARTS.index(part), PARTS.index(earlier)
        leaked = np.flatnonzero((images.parts == here) & (present >> there & 1 == 1))
        if len(leaked):
            chosen = [(int(i), of_part(repeats, int(i), there)) for i in leaked[:EXAMPLES]]
            text = (
                f"{PART_NAMES[part]} images that are {PART_NAMES[earlier]} images too, byte for byte: {len(leaked):,}"
            )
            advice = f"{KEEP_TOGETHER}; `--data.duplicates=allow` trains all the same"
            yield Finding("leak", "refused", text, advice, len(leaked), examples(repeats, chosen))


def near_leaks(repeats: Repeats) -> Iterator[Finding]:
    images, pairs, present = repeats.images, repeats.pairs, repeats.bits(repeats.images.parts)
    for part, earlier in parts_in_question():
        here, there = PARTS.index(part), PARTS.index(earlier)
        one, other = present[pairs.first], present[pairs.second]
        ahead = (one >> here & 1 == 1) & (other >> there & 1 == 1)
        back = (other >> here & 1 == 1) & (one >> there & 1 == 1)
        leaked = np.concatenate([pairs.first[ahead], pairs.second[back]])
        partner = np.concatenate([pairs.second[ahead], pairs.first[back]])
        if len(leaked):
            count = int(((images.parts == here) & np.isin(repeats.first, leaked)).sum())
            both = list(zip(leaked[:EXAMPLES].tolist(), partner[:EXAMPLES].tolist(), strict=True))
            chosen = [(of_part(repeats, i, here), of_part(repeats, j, there)) for i, j in both]
            text = f"{PART_NAMES[part]} images that are nearly the same as {PART_NAMES[earlier]} images: {count:,}"
            yield Finding("near leak", "warning", text, KEEP_TOGETHER, count, examples(repeats, chosen))


def of_part(repeats: Repeats, index: int, part: int) -> int:
    """The first copy of an image in this part."""
    copies = repeats.copies(index)
    return int(copies[repeats.images.parts[copies] == part][0])


def exact_conflicts(repeats: Repeats) -> Iterator[Finding]:
    images = repeats.images
    differs = images.targets != images.targets[repeats.first]
    groups = np.unique(repeats.first[differs])
    if len(groups):
        text = f"images under two labels or more, byte for byte the same: {len(groups):,}"
        chosen = [tuple(repeats.copies(int(group)).tolist()) for group in groups[:EXAMPLES]]
        yield Finding("two labels", "warning", text, RELABEL, len(groups), examples(repeats, chosen))


def near_conflicts(repeats: Repeats) -> Iterator[Finding]:
    images, pairs = repeats.images, repeats.pairs
    differs = np.flatnonzero(images.targets[pairs.first] != images.targets[pairs.second])
    if len(differs):
        text = f"pairs of images that are nearly the same, under different labels: {len(differs):,}"
        chosen = [(int(pairs.first[k]), int(pairs.second[k])) for k in differs[:EXAMPLES]]
        yield Finding("near, two labels", "warning", text, RELABEL, len(differs), examples(repeats, chosen))


def exact_duplicates(repeats: Repeats) -> Iterator[Finding]:
    sizes = np.bincount(repeats.first, minlength=len(repeats.first))
    groups = np.flatnonzero(sizes > 1)
    if len(groups):
        extra = int((sizes[groups] - 1).sum())
        text = f"images that repeat another byte for byte: {extra:,}, in {len(groups):,} group(s)"
        chosen = [tuple(repeats.copies(int(group)).tolist()) for group in groups[:EXAMPLES]]
        yield Finding("duplicates", "warning", text, KEEP_ONE, extra, examples(repeats, chosen))


def near_duplicates(repeats: Repeats) -> Iterator[Finding]:
    pairs = repeats.pairs
    if len(pairs):
        groups = len(np.unique(groups_of(pairs)))
        more = "" if pairs.is_complete else f"; the search ended after {MOST_PAIRS:,}, as among frames of a video"
        text = f"pairs of images that are nearly the same: {len(pairs):,}, in {groups:,} group(s){more}"
        chosen = [(int(i), int(j)) for i, j in zip(pairs.first[:EXAMPLES], pairs.second[:EXAMPLES], strict=True)]
        yield Finding("near duplicates", "warning", text, KEEP_ONE, len(pairs), examples(repeats, chosen))


def groups_of(pairs: Pairs) -> list[int]:
    """The group of each pair: groups that share an image are one."""
    parents: dict[int, int] = {}

    def root(index: int) -> int:
        while (parent := parents.setdefault(index, index)) != index:
            parents[index] = index = parents[parent]
        return index

    both = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    for one, other in both:
        parents[root(one)] = root(other)
    return [root(one) for one, _ in both]


def examples(repeats: Repeats, groups: Sequence[tuple[int, ...]]) -> tuple[Example, ...]:
    """The groups by name, each with its classes if it has several."""
    images = repeats.images
    return tuple(
        Example(
            tuple(images.names[index] for index in group[:GROUP]),
            " and ".join(classes) if len(classes := sorted({images.classes[index] for index in group})) > 1 else "",
        )
        for group in groups
    )
