"""Positions: what each adds or rotates, where it has no effect, and what is refused."""

import math
from typing import Any

import pytest
import torch
from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.errors import UsageError
from vitrail.models import ViT
from vitrail.vectors.grid import cells_of
from vitrail.vectors.positions import Floater, Flow, Quadratic, Relative, Rope, Shaw, sincos1d, sincos2d
from vitrail.vectors.positions.offsets import clipped
from vitrail.vectors.positions.relative import resampled

GRID = (3, 4)
EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 0.0}


def vectors(count: int = 12) -> torch.Tensor:
    return torch.randn(2, count, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def attention(positions: object = None, grid: tuple[int, int] = GRID) -> SelfAttention:
    torch.manual_seed(0)
    return fitted(MECHANISMS["softmax"], grid, 0, positions)(16, num_heads=4).double().eval()


def offsets(grid: tuple[int, int]) -> torch.Tensor:
    places = cells_of(grid)
    return places[None] - places[:, None]


def test_sincos2d_is_half_the_row_and_half_the_column() -> None:
    table = sincos2d((5, 7), 16, torch.float64)
    assert table.shape == (35, 16)
    for row, column in ((0, 0), (2, 6), (4, 3)):
        waves = [10_000 ** -(i / 4) for i in range(4)]
        expected = [wave(place * f) for place in (row, column) for wave in (math.sin, math.cos) for f in waves]
        torch.testing.assert_close(table[row * 7 + column], torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_sincos1d_is_the_place_in_the_sequence() -> None:
    """The Transformer's formula, sin and cos of place / 10,000^(2i / d), on a grid read row by row."""
    table = sincos1d((5, 7), 8, torch.float64)
    for place in (0, 9, 34):
        angles = [place / 10_000 ** (2 * i / 8) for i in range(4)]
        expected = [*map(math.sin, angles), *map(math.cos, angles)]
        torch.testing.assert_close(table[place], torch.tensor(expected, dtype=torch.float64), **EXACT)
    with pytest.raises(UsageError, match="a width of 7 does not divide by 2"):
        sincos1d(GRID, 7)


@pytest.mark.parametrize("prefix", [0, 1])
def test_shaw_adds_vectors_to_keys_and_values(prefix: int) -> None:
    """The paper's sums, written out for each pair of cells: q (k + a) / √d, then weights times (v + b)."""
    torch.manual_seed(0)
    module: Any = fitted(MECHANISMS["softmax"], GRID, prefix, Shaw)(16, num_heads=4, qkv_bias=True).double().eval()
    with torch.no_grad():
        for table in (module.positions.keys, module.positions.values):
            table.normal_()
    x = vectors(12 + prefix)
    q, k, v = module.heads(x)
    places = [None] * prefix + cells_of(GRID).tolist()

    def added(table: torch.Tensor, i: int) -> torch.Tensor:
        """For each key: the row of its offset, which run from (−2, −3) to (2, 3); nothing from or to a prefix token."""
        rows = [None if None in (places[i], place) else 7 * (place[0] - places[i][0] + 2) + place[1] - places[i][1] + 3
                for place in places]  # fmt: skip
        return torch.stack([table.new_zeros(4) if row is None else table[row] for row in rows])

    expected = torch.zeros_like(q)
    for i in range(12 + prefix):
        scores = (q[:, :, i, None] * (k + added(module.positions.keys, i))).sum(-1) / math.sqrt(4)
        expected[:, :, i] = (scores.softmax(-1)[..., None] * (v + added(module.positions.values, i))).sum(2)
    torch.testing.assert_close(module(x), module.merge(expected), **EXACT)


def test_shaw_without_vectors_is_attention_without_positions() -> None:
    module, plain, x = attention(Shaw), attention(), vectors()
    plain.load_state_dict(module.state_dict(), strict=False)
    assert (module(x) - plain(x)).abs().max() > 1e-4
    with torch.no_grad():
        for table in module.positions.parameters():
            table.zero_()
    torch.testing.assert_close(module(x), plain(x), **EXACT)


def test_a_shaw_table_of_another_grid_keeps_its_vectors_and_repeats_the_outermost() -> None:
    table = torch.arange(5.0 * 7).unsqueeze(1)  # of a grid of 3 × 4: offsets of −2 … 2 and −3 … 3
    larger = clipped(table, GRID, (4, 5)).view(7, 9)
    assert torch.equal(larger[1:-1, 1:-1], table.view(5, 7))
    assert torch.equal(larger[0], larger[1])
    assert torch.equal(larger[:, -1], larger[:, -2])
    assert torch.equal(clipped(table, GRID, (2, 4)).view(3, 7), table.view(5, 7)[1:-1])


def test_sincos2d_differs_for_all_cells() -> None:
    table = sincos2d((14, 14), 64)
    distances = torch.cdist(table, table) + torch.eye(196) * 10
    assert distances.min() > 0.1


@pytest.mark.parametrize("width", [6, 10, 33])
def test_sincos2d_refuses_widths_without_four_equal_parts(width: int) -> None:
    with pytest.raises(UsageError, match=f"a width of {width} does not divide by 4"):
        sincos2d(GRID, width)


def test_relative_bias_is_the_same_for_the_same_offset() -> None:
    module = Relative(GRID, 2, 8)
    with torch.no_grad():
        module.table.copy_(torch.arange(35.0 * 2).view(35, 2))  # every offset another number
    bias = module.bias(offsets(GRID))
    assert bias.shape == (2, 12, 12)
    for head in range(2):
        numbers: dict[tuple[int, ...], set[float]] = {
            tuple(offset): set() for offset in offsets(GRID).reshape(-1, 2).tolist()
        }
        for offset, number in zip(offsets(GRID).reshape(-1, 2).tolist(), bias[head].flatten().tolist(), strict=True):
            numbers[tuple(offset)].add(number)
        assert len(numbers) == 5 * 7
        assert all(len(outputs) == 1 for outputs in numbers.values())
        assert len(set.union(*numbers.values())) == 35


def test_relative_and_quadratic_at_zero_have_no_effect() -> None:
    plain = attention()
    for positions, name in ((Relative, "table"), (Quadratic, "sharpness")):
        module = attention(positions)
        module.load_state_dict(plain.state_dict(), strict=False)
        before = module(vectors())
        torch.nn.init.zeros_(getattr(module.positions, name))
        torch.testing.assert_close(module(vectors()), plain(vectors()), **EXACT)
        assert (before - plain(vectors())).abs().max() > 1e-4


def test_a_relative_table_of_another_grid_keeps_its_shape() -> None:
    """A bias that grows smoothly with the distance does so on a finer grid, too."""
    places = offsets((5, 5)).reshape(-1, 2).unique(dim=0).float()
    table = -places.square().sum(dim=1, keepdim=True).repeat(1, 2)
    assert torch.equal(resampled(table, (5, 5), (5, 5)), table)
    finer = resampled(table, (5, 5), (9, 9))
    assert finer.shape == (17 * 17, 2)
    finer = finer[:, 0].view(17, 17)
    assert finer.argmax() == 8 * 17 + 8
    assert (finer[8, :8].diff() > 0).all()


def test_quadratic_is_highest_at_its_centre() -> None:
    module = Quadratic((7, 7), 2, 8)
    with torch.no_grad():
        module.centre.copy_(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
        module.sharpness.copy_(torch.tensor([2.0, 0.5]))
    bias = module.bias(offsets((7, 7)))[:, 24].view(2, 7, 7)  # from the middle, (3, 3)
    assert [divmod(int(head.argmax()), 7) for head in bias] == [(4, 1), (3, 6)]
    torch.testing.assert_close(bias[0, 4, 1] - bias[0, 3, 3], torch.tensor(2.0 * 5))  # α times the squared distance


def test_rope_is_timms_and_skips_prefix_tokens() -> None:
    q = torch.randn(2, 4, 14, 8, generator=torch.Generator().manual_seed(1))
    turned, _, same = Rope(GRID, 4, 8).shift(q, q, q, prefix=2)
    angles = RotaryEmbeddingCat(8, in_pixels=False, feat_shape=list(GRID)).get_embed()
    assert torch.equal(turned[:, :, 2:], apply_rot_embed_cat(q[:, :, 2:], angles))
    assert torch.equal(turned[:, :, :2], q[:, :, :2])
    assert same is q


def test_rope_products_depend_on_the_offset_alone() -> None:
    rope = Rope((4, 4), 1, 8).double()
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k = q.expand(1, 1, 16, 8), k.expand(1, 1, 16, 8)
    q, k, _ = rope.shift(q, k, k, 0)
    scores = (q @ k.transpose(2, 3))[0, 0].view(4, 4, 4, 4)
    torch.testing.assert_close(scores[0, 0, 1, 2], scores[2, 1, 3, 3], atol=1e-6, rtol=0)
    assert (scores[0, 0, 1, 2] - scores[0, 0, 2, 1]).abs() > 1e-3


@pytest.mark.parametrize("head_dim", [2, 6, 9])
def test_rope_refuses_heads_without_pairs_for_rows_and_columns(head_dim: int) -> None:
    with pytest.raises(UsageError, match=f"the {head_dim} features of a head must divide by 4"):
        Rope(GRID, 4, head_dim)


def test_a_floater_at_zero_has_no_effect() -> None:
    module: Any = attention(Floater)
    plain = attention()
    module.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.normal_(module.positions.starts)
    assert (module.train()(vectors()) - plain(vectors())).abs().max() > 0.1
    torch.nn.init.zeros_(module.positions.starts)
    for weights in module.positions.flow.parameters():
        torch.nn.init.zeros_(weights)
    for training in (True, False):
        torch.testing.assert_close(module.train(training)(vectors()), plain(vectors()), **EXACT)


def test_a_floater_without_flow_is_constant() -> None:
    floater = Floater(GRID, 2, 4)
    for weights in floater.flow.parameters():
        torch.nn.init.zeros_(weights)
    torch.nn.init.normal_(floater.starts)
    expected = floater.starts.sum(dim=0).view(3, 2, 1, 4).expand(3, 2, 12, 4)
    torch.testing.assert_close(floater.table(), expected)


def test_a_flow_solves_its_equation() -> None:
    """dp/dt = 0.5 p from p = 1, one step of 0.1 a place: p = exp(0.05 n), to the fourth order in the step."""
    flow: Any = Flow(2).double()
    with torch.no_grad():
        for weights in flow.parameters():
            weights.zero_()
        flow.inner[0].weight[:, :2] = torch.eye(2)
        flow.outer[0].weight[:, :2] = 0.5 * torch.eye(2)
    outputs = flow.along(0, torch.ones(2, dtype=torch.float64), 20)
    expected = (0.05 * torch.arange(20, dtype=torch.float64)).exp()
    torch.testing.assert_close(outputs, expected[:, None].expand(20, 2), atol=2e-7, rtol=0)


def test_a_flow_depends_on_time() -> None:
    """dp/dt = t from p = 0: p = t² / 2, exactly so by Runge and Kutta."""
    flow: Any = Flow(1).double()
    with torch.no_grad():
        for weights in flow.parameters():
            weights.zero_()
        flow.outer[1].weight[:, 1] = 1.0
    outputs = flow.along(1, torch.zeros(1, dtype=torch.float64), 9)[:, 0]
    torch.testing.assert_close(outputs, (0.1 * torch.arange(9, dtype=torch.float64)).square() / 2, **EXACT)


def test_rows_and_columns_of_a_floater_add_up() -> None:
    floater = Floater((3, 4), 2, 4)
    torch.nn.init.normal_(floater.starts)
    table = floater.table().view(3, 2, 3, 4, 4)
    steps = table[:, :, 1:] - table[:, :, :-1]  # from row to row
    torch.testing.assert_close(steps, steps[:, :, :, :1].expand_as(steps), atol=1e-6, rtol=0)
    assert steps.abs().max() > 1e-3


def test_layers_share_one_flow_and_have_their_own_starts() -> None:
    network: Any = ViT(patch=2, width=16, depth=3, heads=2, positions="floater").build(3, 8)
    first, second, third = (block.attn.positions for block in network.blocks)
    assert first.flow is second.flow is third.flow
    assert first.starts is not second.starts
    other: Any = ViT(patch=2, width=16, depth=3, heads=2, positions="floater").build(3, 8)
    assert other.blocks[0].attn.positions.flow is not first.flow


def test_a_floater_caches_its_table_in_eval_mode() -> None:
    floater = Floater(GRID, 2, 4)
    torch.nn.init.normal_(floater.starts)
    assert floater.cached is None
    cached = floater.eval().cached
    assert cached is not None
    torch.testing.assert_close(cached, floater.table())
    other = Floater(GRID, 2, 4).eval()
    q = torch.zeros(1, 2, 12, 4)
    before = other.shift(q, q, q, 0)[0]
    other.load_state_dict(floater.state_dict())  # other weights, another table
    assert not torch.equal(other.shift(q, q, q, 0)[0], before)
    torch.testing.assert_close(other.shift(q, q, q, 0)[0][0], cached[0])


def test_a_floater_trains_after_validation_that_set_only_its_mode_back() -> None:
    """Lightning validates in eval mode, then restores each module's flag without calling train()."""
    floater = Floater(GRID, 2, 4).train()
    modes = {name: module.training for name, module in floater.named_modules()}
    floater.eval()
    for name, module in floater.named_modules():
        module.training = modes[name]
    q = torch.zeros(1, 2, 12, 4)
    floater.shift(q, q, q, 0)[0].sum().backward()
    assert floater.starts.grad is not None
    assert floater.starts.grad[:, 0].abs().min() > 0
