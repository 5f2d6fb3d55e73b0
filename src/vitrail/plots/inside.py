"""What goes on inside a network for one image, on one page: patches, evidence, and attention in every head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.model_file.explanation import Attention, Kind
from vitrail.plots.heads import Heads, Query
from vitrail.plots.overlay import draw_overlay
from vitrail.plots.page import CAPTION, GAP, HEADING, MARGIN, PENCIL, TITLE, Page
from vitrail.plots.patches import draw_patches

SHOWN = 3  # classes
TILE = 256
TOP = 150  # of the tiles: above them stand the page's title and their headings
BELOW = 58  # room for their captions

KINDS: dict[Kind, str] = {"exact": "exact, its mean is the logit", "approximate": "approximate, measured by hiding"}


@dataclass(frozen=True)
class Answer:
    """A class, how probable it is, and the evidence for it, [h, w]."""

    label: str
    probability: float
    evidence: NDArray[np.float32]


@dataclass(frozen=True)
class Inside:
    """All that is drawn of one image; `attention` [layers, heads, T, T] and its `axes` where they can be told."""

    name: str
    canvas: NDArray[np.uint8]
    answers: tuple[Answer, ...]  # the most probable first
    kind: Kind
    attention: NDArray[np.float32] | None
    axes: Attention | None


def draw_inside(inside: Inside) -> Image.Image:
    """One row of tiles: the image, the evidence for the best classes, the rollout; below them all heads."""
    heads = None
    if inside.attention is not None and inside.axes is not None:
        heads = Heads(inside.attention, inside.axes, asking(inside, inside.axes))
    bottom = TOP + TILE + BELOW
    size = (max(across(5), heads.width), bottom + heads.height) if heads else (across(4), bottom)
    page = Page(*size)
    best = inside.answers[0]
    page.write((MARGIN, MARGIN), f"{inside.name}: {best.label}", TITLE, width=page.width - 2 * MARGIN)
    page.write((MARGIN, MARGIN + 40), legend(inside), CAPTION, PENCIL, width=page.width - 2 * MARGIN)
    draw_tile(page, 0, panes_of(inside), "As the network sees it", said_of_panes(inside))
    shown = inside.answers[:SHOWN]
    for place, answer in enumerate(shown, start=1):
        overlay = draw_overlay(inside.canvas, answer.evidence)
        draw_tile(page, place, overlay, f"Evidence for {answer.label}", f"probability {answer.probability:.2f}")
    if heads:
        if heads.query.place is not None:
            row, column = heads.query.place
            rows, columns = heads.axes.grid
            page.outline((MARGIN + column * TILE / columns, TOP + row * TILE / rows), TILE / columns)
        draw_tile(page, len(shown) + 1, heads.rollout(TILE), "Attention rollout", heads.said_of_rollout())
        heads.draw(page, bottom)
    return page.image


def legend(inside: Inside) -> str:
    evidence = f"Evidence ({KINDS[inside.kind]}): warm speaks for a class, cold against it."
    if inside.axes is None:
        return f"{evidence} This network has no attention that could be told."
    return f"{evidence} Attention: from none, dark, to the most, light. Each map has its own scale."


def across(tiles: int) -> int:
    """How wide a page with so many tiles side by side is."""
    return 2 * MARGIN + tiles * TILE + (tiles - 1) * GAP


def draw_tile(page: Page, place: int, image: Image.Image, heading: str, caption: str) -> None:
    left = MARGIN + place * (TILE + GAP)
    # Smaller images keep their squares, larger ones lose none of their lines.
    sampling = Image.Resampling.NEAREST if image.width <= TILE else Image.Resampling.BOX
    page.write((left, TOP - 10), heading, HEADING, anchor="ls", width=TILE)
    page.put((left, TOP), image.resize((TILE, TILE), sampling))
    page.write((left, TOP + TILE + 8), caption, CAPTION, PENCIL, width=TILE)


def panes_of(inside: Inside) -> Image.Image:
    """The canvas cut where the network cuts it, or whole where its places are no squares of pixels."""
    patch = patch_of(inside)
    return draw_patches(inside.canvas, patch) if patch else Image.fromarray(inside.canvas)


def said_of_panes(inside: Inside) -> str:
    size, patch = len(inside.canvas), patch_of(inside)
    if not patch:
        return f"{size} by {size} pixels"
    return f"{size // patch} by {size // patch} places of {patch} by {patch} pixels"


def patch_of(inside: Inside) -> int | None:
    rows, columns = inside.axes.grid if inside.axes else inside.answers[0].evidence.shape
    size = len(inside.canvas)
    return size // rows if rows == columns and size % rows == 0 else None


def asking(inside: Inside, axes: Attention) -> Query:
    """Whose attention is shown: the class token where the head reads it, else the place that says most."""
    if axes.prefix and inside.kind == "approximate":
        return Query(0, None, "What the class token looks at")
    best = inside.answers[0]
    (rows, columns), (h, w) = axes.grid, best.evidence.shape
    row, column = divmod(int(best.evidence.argmax()), w)
    row, column = (2 * row + 1) * rows // (2 * h), (2 * column + 1) * columns // (2 * w)  # the middle of a larger cell
    said = f"What the outlined place looks at, which says most for {best.label}"
    return Query(axes.prefix + row * columns + column, (row, column), said)
