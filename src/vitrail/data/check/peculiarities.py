"""Images that `fit` takes and that are worth a look: blank, tiny, huge, animated, or stored in another way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.findings import EXAMPLES, Example, Finding, Weight
from vitrail.data.check.scan import Facts

SMALL_SIDE, SMALL_SHARE = 16, 4  # pixels, unless most are as small; a side 4 times shorter than most is small too
LARGE = 25_000_000  # pixels
CROPPED = 0.5  # share of an image's pixels that a centre crop cuts
PLAIN_MODES = ("RGB", "L")


@dataclass(frozen=True)
class Peculiarity:
    """Which images have it, and what is said of them."""

    kind: str
    weight: Weight
    has: Callable[[Facts], bool]
    text: str
    advice: str


BLANK = Peculiarity(
    "blank",
    "warning",
    lambda one: False,  # their pixels say, not their facts
    "images of one colour, or nearly, among which only exact copies are found",
    "remove those that show nothing",
)
KINDS = (
    Peculiarity(
        "large",
        "note",
        lambda one: one.pixels > LARGE,
        f"images of over {LARGE / 1e6:.0f} million pixels, which take long to decode",
        "`magick mogrify -resize 2048x2048\\> *.jpg` shrinks them in place",
    ),
    Peculiarity(
        "cropped",
        "note",
        lambda one: one.cut >= CROPPED,
        f"images that lose {CROPPED:.0%} of their pixels or more to a centre crop",
        "`--data.resize squash` or `pad` keeps all of them",
    ),
    Peculiarity(
        "turned",
        "note",
        lambda one: one.is_turned,
        "images that are stored turned or mirrored",
        "they are used upright, as their EXIF data say; other programs may not do so",
    ),
    Peculiarity(
        "animated", "note", lambda one: one.is_animated, "images that are animated", "their first frame is used"
    ),
    Peculiarity(
        "modes",
        "note",
        lambda one: one.mode not in PLAIN_MODES or one.has_transparency,
        "images that are not plain RGB or grey",
        "all are read as 8-bit RGB: transparency lies on white, 16 bits and CMYK are converted",
    ),
    Peculiarity(
        "misnamed",
        "note",
        lambda one: one.is_misnamed,
        "images of another format than their name says",
        "they are read by their contents; other programs may refuse them",
    ),
)


def of_images(names: Sequence[str], facts: Sequence[Facts], blank: NDArray[np.bool_]) -> Iterator[Finding]:
    """The findings of single images; `blank` says which show nothing."""

    def found(one: Peculiarity, has: Sequence[bool]) -> Iterator[Finding]:
        chosen = np.flatnonzero(has)
        if len(chosen):
            shown = tuple(Example((names[index],), described(facts[index])) for index in chosen[:EXAMPLES])
            yield Finding(one.kind, one.weight, f"{one.text}: {len(chosen):,}", one.advice, len(chosen), shown)

    yield from found(BLANK, blank.tolist())
    for one in (*small(facts), *KINDS):
        yield from found(one, [one.has(each) for each in facts])


def small(facts: Sequence[Facts]) -> Iterator[Peculiarity]:
    """Which images are small depends on the others."""
    if facts:
        median = float(np.median([min(one.size) for one in facts]))
        least = max(median / SMALL_SHARE, min(SMALL_SIDE, median))
        yield Peculiarity(
            "small",
            "warning",
            lambda one: min(one.size) < least,
            f"images with a side under {least:.0f} pixels",
            "look whether they are thumbnails",
        )


def described(one: Facts) -> str:
    transparent = ", transparent" if one.has_transparency else ""
    return f"{one.size[0]} × {one.size[1]} {one.format} {one.mode}{transparent}"
