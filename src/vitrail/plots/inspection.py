"""The internals of a network on one image, on one page: patches, evidence, and attention of every head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.model_file.explanation import Attention, Kind
from vitrail.plots.heads import Heads, Query
from vitrail.plots.overlay import draw_overlay
from vitrail.plots.page import CAPTION, GAP, HEADING, MARGIN, MUTED, TITLE, Page
from vitrail.plots.patches import draw_patches

SHOWN = 3  # classes
TILE = 256
TOP = 150  # of the tiles: above them stand the page's title and their headings
BELOW = 58  # room for their captions

KINDS: dict[Kind, str] = {"exact": "exact, its mean is the logit", "approximate": "approximate, measured by hiding"}


@dataclass(frozen=True)
class ClassEvidence:
    """A class, how probable it is, and the evidence for it, [h, w]."""

    label: str
    probability: float
    evidence: NDArray[np.float32]


@dataclass(frozen=True)
class Inspection:
    """All that is drawn; `attention` [layers, heads, T, T] and its `axes` where the network exposes them."""

    name: str
    canvas: NDArray[np.uint8]
    classes: tuple[ClassEvidence, ...]  # the most probable first
    kind: Kind
    attention: NDArray[np.float32] | None
    axes: Attention | None


def draw_inspection(inspection: Inspection) -> Image.Image:
    """One row of tiles: the image, the evidence for the best classes, the rollout; below them all heads."""
    heads = None
    if inspection.attention is not None and inspection.axes is not None:
        heads = Heads(inspection.attention, inspection.axes, choose_query(inspection, inspection.axes))
    bottom = TOP + TILE + BELOW
    size = (max(across(5), heads.width), bottom + heads.height) if heads else (across(4), bottom)
    page = Page(*size)
    best = inspection.classes[0]
    page.write((MARGIN, MARGIN), f"{inspection.name}: {best.label}", TITLE, width=page.width - 2 * MARGIN)
    page.write((MARGIN, MARGIN + 40), legend(inspection), CAPTION, MUTED, width=page.width - 2 * MARGIN)
    draw_tile(page, 0, patches_image(inspection), "Input of the network", patches_caption(inspection))
    shown = inspection.classes[:SHOWN]
    for column, each in enumerate(shown, start=1):
        overlay = draw_overlay(inspection.canvas, each.evidence)
        draw_tile(page, column, overlay, f"Evidence for {each.label}", f"probability {each.probability:.2f}")
    if heads:
        if heads.query.cell is not None:
            row, column = heads.query.cell
            rows, columns = heads.axes.grid
            page.outline((MARGIN + column * TILE / columns, TOP + row * TILE / rows), TILE / columns)
        draw_tile(page, len(shown) + 1, heads.rollout(TILE), "Attention rollout", heads.rollout_caption())
        heads.draw(page, bottom)
    return page.image


def legend(inspection: Inspection) -> str:
    evidence = f"Evidence ({KINDS[inspection.kind]}): warm is for a class, cold against it."
    if inspection.axes is None:
        return f"{evidence} This network has no readable attention."
    return f"{evidence} Attention: from none, dark, to the most, light. Each map has its own scale."


def across(tiles: int) -> int:
    """The width of a page with this many tiles side by side."""
    return 2 * MARGIN + tiles * TILE + (tiles - 1) * GAP


def draw_tile(page: Page, column: int, image: Image.Image, heading: str, caption: str) -> None:
    left = MARGIN + column * (TILE + GAP)
    # Smaller images keep their pixels, larger ones lose none of their lines; the longer side fills the tile.
    sampling = Image.Resampling.NEAREST if max(image.size) <= TILE else Image.Resampling.BOX
    sides = [max(1, round(side * TILE / max(image.size))) for side in image.size]
    page.write((left, TOP - 10), heading, HEADING, anchor="ls", width=TILE)
    page.put((left, TOP), image.resize((sides[0], sides[1]), sampling))
    page.write((left, TOP + TILE + 8), caption, CAPTION, MUTED, width=TILE)


def patches_image(inspection: Inspection) -> Image.Image:
    """The canvas cut where the network cuts it, or whole where its cells are not square patches."""
    patch = patch_of(inspection)
    return draw_patches(inspection.canvas, patch) if patch else Image.fromarray(inspection.canvas)


def patches_caption(inspection: Inspection) -> str:
    size, patch = len(inspection.canvas), patch_of(inspection)
    if not patch:
        return f"{size} by {size} pixels"
    return f"{size // patch} by {size // patch} cells of {patch} by {patch} pixels"


def patch_of(inspection: Inspection) -> int | None:
    rows, columns = inspection.axes.grid if inspection.axes else inspection.classes[0].evidence.shape
    size = len(inspection.canvas)
    return size // rows if rows == columns and size % rows == 0 else None


def choose_query(inspection: Inspection, axes: Attention) -> Query:
    """The class token where the head reads it, else the cell with the strongest evidence."""
    if axes.prefix and inspection.kind == "approximate":
        return Query(0, None, "Attention of the class token")
    best = inspection.classes[0]
    (rows, columns), (h, w) = axes.grid, best.evidence.shape
    row, column = divmod(int(best.evidence.argmax()), w)
    row, column = (2 * row + 1) * rows // (2 * h), (2 * column + 1) * columns // (2 * w)  # the middle of a larger cell
    caption = f"Attention of the outlined cell, which has the strongest evidence for {best.label}"
    return Query(axes.prefix + row * columns + column, (row, column), caption)
