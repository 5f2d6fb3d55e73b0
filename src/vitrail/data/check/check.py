"""The check of a set: every image is read once, and everything found is put into one report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrail.data.check import faults, left_out, repeats
from vitrail.data.check.classes import of_classes
from vitrail.data.check.descriptors import blank
from vitrail.data.check.findings import WEIGHTS, ClassCount, Finding, Report, Spread
from vitrail.data.check.listing import Item, Listing, counts, list_set
from vitrail.data.check.peculiarities import of_images
from vitrail.data.check.scan import Facts, Progress, scan
from vitrail.data.contents import Keys, keys_of, text_keys
from vitrail.data.file_digests import FileDigests
from vitrail.data.source import PARTS
from vitrail.tasks import TASKS


@dataclass(frozen=True, eq=False)
class Checked:
    """A report, and the images that it speaks of."""

    listing: Listing
    report: Report


def check(path: str, seed: int, progress: Progress) -> Checked:
    """Check the set at this path, split by this seed."""
    listing = list_set(path, seed)
    outcomes, thumbnails = scan(listing.items, listing.source, progress)
    usable = np.array([index for index, one in enumerate(outcomes) if isinstance(one, Facts)], np.int64)
    items = [listing.items[index] for index in usable]
    facts = [one for one in outcomes if isinstance(one, Facts)]
    names = [item.name for item in items]
    corrupt = faults.corrupt_among(listing.items, outcomes)
    classes = class_counts(listing)
    contents, targets = keys(listing, items, not any(fault.is_unreadable for _, fault in corrupt))
    images = repeats.Images(
        names=names,
        parts=np.array([PARTS.index(item.part) for item in items], np.int64),
        contents=contents,
        targets=targets,
        classes=[listing.class_of(item) for item in items],
        thumbnails=thumbnails[usable],
        sides=np.array([min(one.size) for one in facts], np.int64),
    )
    findings: list[Finding] = [
        *faults.findings_of(listing, corrupt),
        *repeats.findings_of(repeats.Repeats.among(images), listing.task in ("classification", "multilabel")),
        *(of_classes(classes) if listing.task == "classification" and listing.classes else ()),
        *of_images(names, facts, blank(images.thumbnails)),
    ]
    if Path(path).is_dir():
        files = [item.file for item in listing.items if item.file is not None]
        findings += left_out.findings_of(
            left_out.left_out(Path(path), files), bool(files) and not TASKS[listing.task].per_cell
        )
    return Checked(listing, report_of(listing, classes, facts, findings))


def report_of(
    listing: Listing, classes: tuple[ClassCount, ...], facts: Sequence[Facts], findings: Sequence[Finding]
) -> Report:
    cuts = [one.cut for one in facts]
    weights = list(WEIGHTS)
    return Report(
        path=listing.path,
        task=listing.task,
        count=len(listing.items),
        classes=classes,
        formats=dict(Counter(one.format for one in facts if one.format).most_common()),
        modes=dict(Counter(one.mode for one in facts).most_common()),
        shorter=spread([min(one.size) for one in facts]),
        longer=spread([max(one.size) for one in facts]),
        cut=(float(np.median(cuts)), max(cuts)) if cuts else None,
        findings=tuple(sorted(findings, key=lambda one: weights.index(one.weight))),
    )


def spread(values: Sequence[int]) -> Spread | None:
    if not values:
        return None
    return Spread(*(int(value) for value in np.quantile(values, [0, 0.25, 0.5, 0.75, 1], method="nearest")))


def class_counts(listing: Listing) -> tuple[ClassCount, ...]:
    """A row for each class; one row for all images of a task that has none."""
    found = counts(listing)
    names = listing.classes if listing.task == "classification" and listing.classes else ("all images",)
    rows = zip(names, *(found[part].tolist() for part in PARTS), strict=True)
    return tuple(ClassCount(name, train, val, test) for name, train, val, test in rows)


def keys(listing: Listing, items: Sequence[Item], is_readable: bool) -> tuple[Keys, Keys]:
    """Of the contents and of the targets of these images; digests of files stay in the cache, for `fit`.

    A source hashes all its files, so where one is unreadable a target is the class alone.
    """
    if listing.source is not None and is_readable:
        found = {part: listing.source.contents(part) for part in PARTS}
        return (
            np.array([found[item.part].images[item.index] for item in items], np.int64),
            np.array([found[item.part].targets[item.index] for item in items], np.int64),
        )
    digests = FileDigests(listing.folder).of([item.name for item in items])
    return keys_of(digests), text_keys([str(item.label) for item in items])
