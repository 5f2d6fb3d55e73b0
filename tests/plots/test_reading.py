"""The page of a sequence: a tile for each step, warm where the attention is."""

import numpy as np

from vitrail.plots.inspection import BELOW, TILE, TOP, across
from vitrail.plots.page import GAP, MARGIN
from vitrail.plots.reading import Step, draw_reading


def test_every_step_has_a_tile_that_is_warm_where_it_looks() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 0] = maps[1, 3, 3] = 1.0
    steps = [Step("7", 0.9, maps[0]), Step("end", 0.8, maps[1])]
    drawn = np.array(draw_reading("row.png", np.zeros((16, 16, 3), np.uint8), steps)).astype(int)
    assert drawn.shape == (TOP + TILE + BELOW, across(3), 3)
    for column, (top, left) in ((1, (0, 0)), (2, (3, 3))):
        corner = MARGIN + column * (TILE + GAP)
        tile = drawn[TOP : TOP + TILE, corner : corner + TILE]
        warmth = (tile[..., 0] - tile[..., 2]).reshape(4, TILE // 4, 4, TILE // 4).mean(axis=(1, 3))
        assert np.unravel_index(warmth.argmax(), (4, 4)) == (top, left)
        assert warmth[3 - top, 3 - left] == 0
