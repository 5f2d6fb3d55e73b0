"""Golden images: the documented recipe, implemented a second time in plain integers."""

import numpy as np
import pytest

from vitrail.images.canvas import InputRule
from vitrail.images.golden import PANES, golden_images, mosaic


def by_the_recipe(panes: int, seed: int, height: int, width: int) -> list[list[list[int]]]:
    """As documented in docs/model-file.md, without arrays."""
    state, glass = seed, []
    for _ in range(panes * panes):
        pane = []
        for _ in range(3):
            state = (1664525 * state + 1013904223) % 4294967296
            pane.append(state // 16777216)
        glass.append(pane)
    return [
        [glass[row * panes // height * panes + column * panes // width] for column in range(width)]
        for row in range(height)
    ]


@pytest.mark.parametrize(
    ("panes", "seed", "height", "width"), [(2, 1, 8, 8), (16, 4, 8, 8), (4, 5, 13, 16), (8, 3, 32, 32)]
)
def test_mosaics_follow_the_recipe(panes: int, seed: int, height: int, width: int) -> None:
    assert mosaic(panes, seed, height, width).tolist() == by_the_recipe(panes, seed, height, width)


def test_the_first_colours_are_pinned() -> None:
    """If these numbers change, every exported file fails its check."""
    assert mosaic(2, 1, 2, 2).tolist() == [[[60, 94, 129], [180, 12, 94]], [[198, 142, 4], [163, 64, 108]]]


def test_a_model_has_four_canvases_and_one_image_to_resize() -> None:
    images = golden_images(InputRule(10))
    assert [image.shape for image in images] == [(10, 10, 3)] * 4 + [(16, 20, 3)]
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert len(PANES) == 4


def test_each_golden_image_has_its_panes_and_its_seed() -> None:
    expected = [(2, 1, 10, 10), (4, 2, 10, 10), (8, 3, 10, 10), (16, 4, 10, 10), (4, 5, 16, 20)]
    for image, (panes, seed, height, width) in zip(golden_images(InputRule(10)), expected, strict=True):
        assert image.tolist() == by_the_recipe(panes, seed, height, width)


def test_golden_graphs_have_edges_between_their_nodes() -> None:
    graphs = golden_images(InputRule(40, "native", width=7, edges=4))
    sets = golden_images(InputRule(40, "native", width=7))
    for graph, others in zip(graphs, sets, strict=True):
        assert np.array_equal(graph[:, :3], others[:, :3])
        neighbours = graph[:, 3:].astype(int)
        assert np.array_equal(neighbours, graph[:, 3:])
        assert neighbours.min() >= 0
        assert len(graph) // 2 <= neighbours.max() < len(graph)
