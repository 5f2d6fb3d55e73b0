"""Tiles equal a mask over all pairs, on grids that they do and do not divide."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vitrail.attention import SelfAttention
from vitrail.attention.dilated import off_lattices, onto_lattices
from vitrail.attention.tiles import blocks, cut, joined
from vitrail.vectors.positions import INSIDE

GRIDS = [(24, 24), (25, 31), (17, 40)]


WINDOW = ("window", (24, 24), {"reach": 3})
DILATED = ("dilated", (33, 31), {"reach": 1, "step": 2})
CASES = [
    *((case, positions) for case in (WINDOW, DILATED) for positions in ("none", *INSIDE)),
    (("window", (25, 31), {"reach": 1}), "relative"),
    (("window", (9, 50), {"reach": 2}), "relative"),
    (("window", (25, 31), {"reach": [1, 3, 2, 1]}), "none"),
    (("window", (25, 31), {"reach": [1, 3, 2, 1]}), "relative"),
    (("dilated", (33, 31), {"reach": [2, 1, 1, 2], "step": 2}), "relative"),
    (("dilated", (32, 32), {"reach": 2, "step": 2}), "relative"),
    (("dilated", (34, 49), {"reach": 1, "step": 3}), "relative"),
]


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize(("case", "positions"), CASES)
def test_tiles_equal_a_mask_over_all_pairs(
    case: tuple[str, tuple[int, int], dict[str, Any]],
    positions: str,
    prefix: int,
    made: Callable[..., SelfAttention],
    vectors: Callable[..., Tensor],
) -> None:
    """With a mask where there are class tokens."""
    name, grid, options = case
    module = made(name, positions, grid, prefix, **options)
    assert module.tiled
    x = vectors(grid[0] * grid[1] + prefix, batch=1)
    seen = torch.rand(1, 1, 1, x.shape[1], generator=torch.Generator().manual_seed(2)) < 0.7 if prefix else None
    with torch.inference_mode():
        dense = module.merge(module.weights(x, seen) @ module.heads(x)[2])
        torch.testing.assert_close(module(x, attn_mask=seen), dense, atol=1e-12, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
def test_joining_inverts_cutting_tiles(grid: tuple[int, int]) -> None:
    x = torch.randn(2, 3, grid[0] * grid[1], 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(joined(cut(x, grid), grid), x)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_joining_inverts_splitting_into_lattices(grid: tuple[int, int], step: int) -> None:
    x = torch.randn(2, 3, grid[0] * grid[1], 4, generator=torch.Generator().manual_seed(0))
    lattices = onto_lattices(x, grid, step)
    assert torch.equal(off_lattices(lattices, grid, step), x)
    assert torch.equal(lattices[0, 0, 1, 0], x[0, 0, step, 0])  # neighbours on a lattice are `step` apart


def test_a_block_is_a_tile_with_its_margin() -> None:
    numbers = torch.arange(24.0 * 24).view(1, 1, -1, 1)
    middle = blocks(numbers, (24, 24), 2)[4, 0, :, 0].view(12, 12)
    assert torch.equal(middle, numbers.view(24, 24)[6:18, 6:18])
