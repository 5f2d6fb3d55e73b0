"""Sets of vectors: neighbours are found wherever in a set they are, and what is far is no neighbour."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vitrail.attention import MECHANISMS, fitted
from vitrail.vectors.grid import cells_of
from vitrail.vectors.positions import INSIDE
from vitrail.vectors.sets import Visible, square

AROUND = (*square(1), (0, 7), (-5, 2))


def scattered(prefix: int = 0) -> Visible:
    """A full grid, a part of one, a row, and nothing at all; each in any order, padded in between."""
    random = torch.Generator().manual_seed(0)
    part = torch.randperm(36, generator=random)[:14]
    cells = [cells_of((4, 5)), cells_of((6, 6))[part], cells_of((1, 9)), torch.empty(0, 2, dtype=torch.long)]
    places = [torch.randperm(20, generator=random)[: len(each)] for each in cells]
    positions, mask = torch.zeros(4, 20, 2, dtype=torch.long), torch.zeros(4, 20, dtype=torch.bool)
    for index, (each, place) in enumerate(zip(cells, places, strict=True)):
        positions[index, place], mask[index, place] = each, True
    return Visible(torch.nn.functional.pad(mask, (prefix, 0), value=True)[:, None, None], positions)


def test_neighbours_are_those_at_the_offset() -> None:
    seen = scattered()
    present = seen.keys[:, 0, 0]
    index, there = seen.neighbours(AROUND)
    for number, offset in enumerate(AROUND):
        pairs = (seen.offsets == torch.tensor(offset)).all(dim=-1) & present[:, None] & present[:, :, None]
        assert torch.equal(there[..., number], pairs.any(dim=2))
        found = pairs.gather(2, index[..., number : number + 1])[..., 0]
        assert torch.equal(found, there[..., number])


def test_they_are_looked_up_once() -> None:
    seen = scattered()
    assert seen.neighbours(AROUND)[0] is seen.neighbours(AROUND)[0]


def test_what_is_around_is_zero_where_nothing_is() -> None:
    seen, x = scattered(), torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(1))
    present = seen.keys[:, 0, 0, :, None]
    for row, column, there in seen.around(x, 3):
        offset = torch.tensor([row - 1, column - 1])
        pairs = (seen.offsets == offset).all(dim=-1) & present.mT & present
        torch.testing.assert_close(there, pairs.to(x.dtype) @ x)


def by_pairs(module: Any, x: Tensor, seen: Visible) -> Tensor:
    q, k, v = module.heads(x, seen)
    merged: Tensor = module.merge(module.weigh(q, k, seen) @ v)
    return merged


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", [None, "relative", "rope"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("window", {"reach": 1}),
        ("window", {"reach": [2, 1]}),
        ("dilated", {"reach": 1, "step": 2}),
        ("graph", {"neighbours": 4}),
        ("graph", {"neighbours": 8}),
    ],
)
def test_attention_to_neighbours_is_that_of_all_pairs(
    name: str, options: dict[str, Any], positions: str | None, prefix: int
) -> None:
    torch.manual_seed(0)
    make = None if positions is None else INSIDE[positions]
    module: Any = fitted(MECHANISMS[name], (6, 6), prefix, make, **options)(16, num_heads=2).double()
    seen, x = scattered(prefix), torch.randn(4, prefix + 20, 16, dtype=torch.double, requires_grad=True)
    actual, expected = module(x, seen), by_pairs(module, x, seen)
    present = seen.keys[:, 0, 0]
    torch.testing.assert_close(actual[present], expected[present], atol=1e-12, rtol=0)
    gradients = [
        torch.autograd.grad(one[present].square().sum(), x, retain_graph=True)[0] for one in (actual, expected)
    ]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
