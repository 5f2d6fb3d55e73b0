"""What is worth a look in a set that `fit` takes: its classes, sizes, modes and formats, and what is left out of it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.findings import EXAMPLES, ClassCount, Example, Finding, Weight
from vitrail.data.check.left_out import LeftOut
from vitrail.data.check.other_formats import OTHER_FORMATS
from vitrail.data.check.scan import Facts

UNEVEN = 10  # times as many training images in the largest class as in the smallest
FEW = 10  # training images of a class, below which nothing is measured
SMALL_SIDE, SMALL_SHARE = 16, 4  # pixels; a side this many times shorter than the median one is small too
LARGE = 25_000_000  # pixels
CROPPED = 0.25  # share of its pixels that a centre crop cuts from an image, to be named
PLAIN_MODES = ("RGB", "L")
HOW_MODES_ARE_READ = "every image is read as 8-bit RGB: transparency lies on white, 16 bits and CMYK are converted"


def of_classes(classes: Sequence[ClassCount]) -> Iterator[Finding]:
    filled = [one for one in classes if one.train]
    largest, smallest = (max(filled, key=train), min(filled, key=train)) if filled else (None, None)
    if largest and smallest and largest.train >= UNEVEN * smallest.train:
        text = (
            f"the largest class has {largest.train / smallest.train:,.0f} times as many training images as the "
            f"smallest: '{largest.name}' {largest.train:,}, '{smallest.name}' {smallest.train:,}"
        )
        yield Finding(
            "imbalance", "warning", text, "collect more of the rare classes; read macro-F1, not accuracy alone"
        )
    for found, text, advice in (
        ([one for one in classes if not one.total], "classes have no images", "fill or remove their folders"),
        (
            [one for one in classes if 0 < one.train < FEW],
            f"classes have fewer than {FEW} training images",
            "collect more, or merge classes",
        ),
        (
            [one for one in filled if not one.test],
            "classes have no test images, so nothing is known of them",
            "move some of their images into the test part",
        ),
    ):
        if found:
            names = tuple(Example((), one.name) for one in found[:EXAMPLES])
            yield Finding("small classes", "warning", f"{len(found):,} {text}", advice, len(found), names)


def train(one: ClassCount) -> int:
    return one.train


def of_images(names: Sequence[str], facts: Sequence[Facts], blank: NDArray[np.bool_]) -> Iterator[Finding]:
    """Findings of single images."""
    if not facts:
        return
    short = np.array([min(one.size) for one in facts])
    small = max(SMALL_SIDE, float(np.median(short)) / SMALL_SHARE)

    def found(kind: str, weight: Weight, which: Callable[[Facts], bool], text: str, advice: str) -> Iterator[Finding]:
        chosen = [index for index, one in enumerate(facts) if which(one)]
        yield from some(kind, weight, chosen, text, advice)

    def some(kind: str, weight: Weight, chosen: Sequence[int], text: str, advice: str) -> Iterator[Finding]:
        if len(chosen):
            shown = tuple(Example((names[index],), describe(facts[index])) for index in chosen[:EXAMPLES])
            yield Finding(kind, weight, f"{len(chosen):,} images {text}", advice, len(chosen), shown)

    yield from some(
        "blank",
        "warning",
        np.flatnonzero(blank).tolist(),
        "show one colour, or nearly; only exact copies are found among them",
        "remove those that show nothing",
    )
    yield from found(
        "small",
        "warning",
        lambda one: min(one.size) < small,
        f"have a side under {small:.0f} pixels",
        "look whether they are thumbnails",
    )
    yield from found(
        "large",
        "note",
        lambda one: one.pixels > LARGE,
        f"have over {LARGE / 1e6:.0f} million pixels, and take long to decode",
        "`magick mogrify -resize 2048x2048\\> *.jpg` shrinks them in place",
    )
    yield from found(
        "cropped",
        "note",
        lambda one: one.cut >= CROPPED,
        f"would lose {CROPPED:.0%} of their pixels or more to a centre crop",
        "`--data.resize squash` or `pad` keeps all of them",
    )
    yield from found("turned", "note", lambda one: one.is_turned, "are stored turned or mirrored", "EXIF is obeyed")
    yield from found("animated", "note", lambda one: one.is_animated, "are animated", "their first frame is used")
    yield from found(
        "modes",
        "note",
        lambda one: one.mode not in PLAIN_MODES or one.has_transparency,
        "are not plain RGB or grey",
        HOW_MODES_ARE_READ,
    )
    yield from found(
        "misnamed",
        "note",
        lambda one: one.is_misnamed,
        "are of another format than their name says",
        "other programs may refuse them",
    )


def describe(one: Facts) -> str:
    transparent = ", transparent" if one.has_transparency else ""
    return f"{one.size[0]} × {one.size[1]} {one.format} {one.mode}{transparent}"


def of_left_out(found: LeftOut, names_all: bool) -> Iterator[Finding]:
    """`names_all`: whether the set would name every image below its folder."""
    for other in OTHER_FORMATS:
        if names := found.formats.get(other.name):
            text = f"{len(names):,} {other.name} files are not read"
            yield Finding("other format", "warning", text, f"convert them: {other.advice}", len(names), alone(names))
    for names, text, advice in (
        (found.dead_links, "links lead nowhere, or to themselves", "mend or remove them"),
        (found.linked_folders, "links to folders are not followed inside a class", "move the images, or link each"),
        (found.closed_folders, "folders cannot be read", "give yourself the right to (`chmod u+rx`)"),
        (
            found.beside if names_all else [],
            "images lie beside the set and are not used",
            "put them into the folder of a class or the table, or elsewhere",
        ),
    ):
        if names:
            yield Finding("left out", "warning", f"{len(names):,} {text}", advice, len(names), alone(names))


def alone(names: Sequence[str]) -> tuple[Example, ...]:
    return tuple(Example((name,)) for name in names[:EXAMPLES])
