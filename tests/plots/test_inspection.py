"""The page of attention and evidence: its layout at any number of layers, heads and places."""

import numpy as np
import pytest
from PIL import Image

from vitrail.images.golden import mosaic
from vitrail.model_file.explanation import Attention
from vitrail.plots.dots import tick_step
from vitrail.plots.heads import Heads, Query
from vitrail.plots.heat import COLOUR_STOPS, draw_heat
from vitrail.plots.inspection import TILE, TOP, ClassEvidence, Inspection, choose_query, draw_inspection, patch_of
from vitrail.plots.page import MARGIN, PAPER, Page, cut, letters, printable


def evidence(*grid: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=grid).astype(np.float32)


def inspection(layers: int, heads: int, side: int, prefix: int = 0, kind: str = "exact", count: int = 3) -> Inspection:
    tokens = prefix + side * side
    weights = np.random.default_rng(1).random((layers, heads, tokens, tokens)).astype(np.float32)
    classes = tuple(
        ClassEvidence(f"class {i}", 0.5 / (i + 1), evidence(min(14, side), min(14, side))) for i in range(count)
    )
    axes = Attention(layers, heads, prefix, (side, side))
    return Inspection("photo.jpg", mosaic(4, 1, 4 * side, 4 * side), classes, kind, weights, axes)  # type: ignore[arg-type]


def test_values_from_none_to_most() -> None:
    drawn = np.array(draw_heat(np.array([[0, 1], [2, 5]], np.float32), 3))
    assert drawn.shape == (6, 6, 3)
    assert tuple(drawn[0, 0]) == COLOUR_STOPS[0]
    assert tuple(drawn[0, 5]) == COLOUR_STOPS[1]  # a fifth of the most, and there are five steps
    assert tuple(drawn[5, 0]) == COLOUR_STOPS[2]
    assert tuple(drawn[5, 5]) == COLOUR_STOPS[-1]
    assert np.array(draw_heat(np.zeros((2, 2), np.float32), 1)).max(axis=(0, 1)).tolist() == list(COLOUR_STOPS[0])


@pytest.mark.parametrize(
    ("layers", "heads", "side", "prefix"), [(1, 1, 1, 0), (4, 4, 4, 0), (12, 3, 14, 1), (24, 16, 16, 5)]
)
def test_everything_is_on_the_page(layers: int, heads: int, side: int, prefix: int) -> None:
    drawn = np.array(draw_inspection(inspection(layers, heads, side, prefix)))
    border = np.concatenate([drawn[:, :8].reshape(-1, 3), drawn[:, -8:].reshape(-1, 3), drawn[-8:].reshape(-1, 3)])
    assert (border == PAPER).all()


def test_each_map_shows_what_the_outlined_place_looks_at() -> None:
    given = inspection(3, 2, 4)
    assert given.attention is not None
    assert given.axes is not None
    given.attention[2, 1, 6] = np.eye(16)[9]  # row 1, column 2 looks at row 2, column 1 alone
    heads = Heads(given.attention, given.axes, Query(6, (1, 2), ""))
    page = Page(heads.width, heads.height)
    heads.draw_map(page, 2, 1, (0, 0))
    at = {(row, column): page.image.getpixel((int((column + 0.5) * heads.scale), int((row + 0.5) * heads.scale)))
          for row in range(4) for column in range(4)}  # fmt: skip
    assert at.pop((2, 1)) == COLOUR_STOPS[-1]
    assert set(at.values()) == {COLOUR_STOPS[0]}
    assert page.image.getpixel((2 * heads.scale, heads.scale)) == (255, 255, 255)


def test_the_image_is_in_the_first_tile_and_the_rollout_after_the_classes() -> None:
    given = inspection(2, 2, 4, count=2)
    drawn = draw_inspection(given)
    middle = MARGIN + TILE // 8, TOP + TILE // 8
    assert drawn.getpixel(middle) == tuple(given.canvas[2, 2])
    tile = drawn.crop((MARGIN + 3 * (TILE + 24), TOP, MARGIN + 3 * (TILE + 24) + TILE, TOP + TILE))
    heads = Heads(given.attention, given.axes, Query(0, (0, 0), ""))  # type: ignore[arg-type]
    assert np.array_equal(np.array(tile), np.array(heads.rollout(TILE)))


def test_attention_of_the_class_token_is_shown_where_the_head_reads_it() -> None:
    for prefix, kind, token in ((1, "approximate", True), (0, "approximate", False), (1, "exact", False)):
        given = inspection(1, 1, 4, prefix, kind)
        query = choose_query(given, given.axes)  # type: ignore[arg-type]
        assert (query.cell is None) == token
    best = int(given.classes[0].evidence.argmax())
    assert query.cell == divmod(best, 4)
    assert query.token == 1 + best


def test_attention_of_a_larger_cell_of_evidence_is_that_of_its_middle() -> None:
    given = inspection(1, 1, 32)
    cells = np.zeros((8, 8), np.float32)
    cells[3, 5] = 1
    given = Inspection(**{**vars(given), "classes": (ClassEvidence("a", 1, cells),)})
    assert choose_query(given, given.axes).cell == (14, 22)  # type: ignore[arg-type]


def test_networks_without_attention_have_a_page_too() -> None:
    canvas = mosaic(4, 1, 64, 64)
    given = Inspection("photo.jpg", canvas, (ClassEvidence("a", 0.7, evidence(7, 7)),), "approximate", None, None)
    drawn = draw_inspection(given)
    assert patch_of(given) is None  # 7 cells do not divide 64 pixels
    assert np.array_equal(
        np.array(drawn.crop((MARGIN, TOP, MARGIN + TILE, TOP + TILE))), canvas.repeat(4, 0).repeat(4, 1)
    )


def test_letters_missing_in_the_font_are_not_drawn_as_boxes() -> None:
    assert printable("Äpfel, 14×14 · 狗") == "Apfel, 14?14 · ?"
    font = letters(15)
    assert cut("short", font, 200) == "short"
    long = cut("a very long name of a class", font, 80)
    assert long.endswith("…")
    assert font.getlength(long) <= 80


@pytest.mark.parametrize(("most", "step"), [(1, 0.2), (2.1, 0.5), (3, 1), (8.3, 2), (14, 2), (40, 10)])
def test_axes_have_round_numbers(most: float, step: float) -> None:
    assert tick_step(most) == pytest.approx(step)


def test_dots_are_round() -> None:
    page = Page(11, 11)
    page.dot((5, 5), 5, (0, 0, 0))
    pixels = np.array(page.image.convert("L")).astype(float)
    inked = (250 - pixels).clip(0).sum() / 250
    assert inked == pytest.approx(np.pi * 5.5**2, rel=0.05)
    assert isinstance(page.image, Image.Image)
