"""Fixtures: modules of any mechanism and positions for a small grid."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.errors import UsageError
from vitrail.models.components import Components, positions_maker
from vitrail.vectors.grid import Grid
from vitrail.vectors.positions import INSIDE

Made = Callable[..., SelfAttention]
SMALL: dict[str, dict[str, int]] = {"window": {"reach": 1}, "dilated": {"reach": 1}, "inducing": {"points": 4}}


def fits(mechanism: str, positions: str) -> bool:
    try:
        Components.parse(mechanism, positions, "linear", "transformer", "layer").check()
    except UsageError:
        return False
    return True


PAIRS = [
    (mechanism, positions) for mechanism in MECHANISMS for positions in ("none", *INSIDE) if fits(mechanism, positions)
]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each mechanism with each kind of positions inside attention that it can use."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture(params=[pair for pair in PAIRS if pair[1] != "none"], ids="-".join)
def placed_pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Those with positions."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture(params=[pair for pair in PAIRS if pair[0] != "inducing" and pair[1] != "shaw"], ids="-".join)
def direct_pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Those whose values go from key to query as they are; inducing points project them, shaw adds to them."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture(params=[pair for pair in PAIRS if pair[0] != "relu"], ids="-".join)
def normalised_pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Those whose weights sum to one."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def made() -> Made:
    """Makes attention over vectors of 16 numbers in float64, no weight of it at zero; the same at each call."""

    def make(
        name: str, positions: str = "none", grid: Grid = (5, 6), prefix: int = 0, table: Any = None, **options: Any
    ) -> SelfAttention:
        torch.manual_seed(0)
        settings = SMALL.get(name, {}) | options
        kind = fitted(MECHANISMS[name], grid, prefix, positions_maker(positions), **settings)
        given = {} if table is None else {"table": table}
        module = kind(16, num_heads=4, qkv_bias=True, **given).double()
        with torch.no_grad():
            for weights in module.parameters():
                weights.normal_(std=0.3)
        return module.eval()

    return make


@pytest.fixture
def vectors() -> Callable[..., torch.Tensor]:
    """Draws vectors [batch, count, 16]."""

    def draw(count: int, batch: int = 2, seed: int = 1) -> torch.Tensor:
        return torch.randn(batch, count, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    return draw
