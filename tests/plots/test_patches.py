"""An image as panes: one a patch, with gaps between them."""

import numpy as np
import pytest

from vitrail.errors import UsageError
from vitrail.images.golden import mosaic
from vitrail.plots.patches import GAP_COLOUR, draw_patches, panes


def test_panes_are_patches_row_by_row() -> None:
    canvas = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    cut = panes(canvas, 2)
    assert cut.shape == (3, 3, 2, 2, 3)
    assert np.array_equal(cut[1, 2], canvas[2:4, 4:6])


def test_the_drawing_keeps_every_colour_and_puts_gaps_between() -> None:
    drawing = np.array(draw_patches(mosaic(4, 1, 8, 8), 2))
    pane = 2 * (896 // 8)
    gap = pane // 14
    assert drawing.shape == (4 * pane + 5 * gap,) * 2 + (3,)
    assert tuple(drawing[0, 0]) == GAP_COLOUR
    assert tuple(drawing[gap + pane, gap + pane]) == GAP_COLOUR
    assert np.array_equal(drawing[gap + 5, gap + 5], mosaic(4, 1, 8, 8)[0, 0])
    assert np.array_equal(drawing[-gap - 5, -gap - 5], mosaic(4, 1, 8, 8)[7, 7])


@pytest.mark.parametrize("patch", [0, 3, 9])
def test_patches_that_do_not_divide_the_canvas_are_refused(patch: int) -> None:
    with pytest.raises(UsageError, match="do not divide"):
        panes(np.zeros((8, 8, 3), np.uint8), patch)
