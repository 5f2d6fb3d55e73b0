"""How far attention sees, and that every weight has a gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitrail.attention import SelfAttention
from vitrail.models import ViT
from vitrail.vectors.grid import cells_of

Made = Callable[..., SelfAttention]


def seen_by_the_middle(attention: dict[str, Any], side: int, depth: int) -> Tensor:
    """Which places the middle vector behind all blocks depends on, [side, side], and offsets to them [side², 2]."""
    torch.manual_seed(0)
    architecture = ViT(patch=1, width=16, depth=depth, heads=2, positions="none", attention=attention)
    blocks: Any = architecture.build(3, side).blocks
    x = torch.randn(1, side**2, 16, requires_grad=True)
    middle = side // 2 * side + side // 2
    (blocks(x)[0, middle] * torch.randn(16)).sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(dim=-1).reshape(side, side) > 0


def around(side: int) -> Tensor:
    return (cells_of((side, side)) - side // 2).abs()


@pytest.mark.parametrize(("reach", "depth", "side"), [(1, 1, 9), (1, 3, 9), (2, 2, 11), (3, 2, 24), (1, 4, 20)])
def test_layers_of_a_window_see_depth_times_reach_and_no_further(reach: int, depth: int, side: int) -> None:
    seen = seen_by_the_middle({"name": "window", "reach": reach}, side, depth)
    assert torch.equal(seen.flatten(), around(side).amax(dim=1) <= reach * depth)


HEADS = [1, 3, 2, 2]


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize(("name", "step"), [("window", 1), ("dilated", 2)])
@pytest.mark.parametrize("side", [13, 36])
def test_each_head_sees_its_own_reach_and_no_further(
    side: int, name: str, step: int, prefix: int, made: Made, vectors: Callable[..., Tensor]
) -> None:
    module: Any = made(name, grid=(side, side), prefix=prefix, reach=HEADS)
    assert module.tiled is (side == 36)
    q, k, v = module.heads(vectors(side**2 + prefix, batch=1))
    values = v.detach().requires_grad_()
    middle = side // 2 * side + side // 2
    module.mix(q, k, values, None)[0, :, prefix + middle].sum().backward()
    assert values.grad is not None
    seen = values.grad[0].abs().sum(dim=-1) > 0  # [heads, prefix + N]
    offsets = around(side)
    for head, reach in enumerate(HEADS):
        expected = (offsets.amax(dim=1) <= reach * step) & (offsets % step == 0).all(dim=1)
        assert torch.equal(seen[head, prefix:], expected)
    assert seen[:, :prefix].all()


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", ["none", "relative", "rope"])
@pytest.mark.parametrize("side", [7, 24])
def test_a_head_is_that_of_a_window_of_its_reach(
    side: int, positions: str, prefix: int, made: Made, vectors: Callable[..., Tensor]
) -> None:
    grid, x = (side, side), vectors(side**2 + prefix)
    mixed: Any = made("window", positions, grid, prefix, reach=HEADS)
    with torch.inference_mode():
        outputs = mixed.mix(*mixed.heads(x), None)
        for reach in set(HEADS):
            window: Any = made("window", positions, grid, prefix, reach=reach)
            expected = window.mix(*window.heads(x), None)
            own = [head for head, one in enumerate(HEADS) if one == reach]
            torch.testing.assert_close(outputs[:, own], expected[:, own], atol=1e-12, rtol=0)
            equal: Any = made("window", positions, grid, prefix, reach=[reach] * 4)
            assert torch.equal(equal(x), window(x))


@pytest.mark.parametrize(("depth", "side"), [(1, 13), (2, 13), (2, 32)])
def test_dilated_layers_see_every_other_cell_twice_as_far(depth: int, side: int) -> None:
    seen = seen_by_the_middle({"name": "dilated", "reach": 1, "step": 2}, side, depth)
    offsets = around(side)
    assert torch.equal(seen.flatten(), (offsets.amax(dim=1) <= 2 * depth) & (offsets % 2 == 0).all(dim=1))


@pytest.mark.parametrize("depth", [1, 3])
def test_layers_of_a_graph_see_one_edge_each(depth: int) -> None:
    seen = seen_by_the_middle({"name": "graph", "neighbours": 4}, 9, depth)
    assert torch.equal(seen.flatten(), around(9).sum(dim=1) <= depth)


@pytest.mark.parametrize("name", ["softmax", "additive", "linear", "gpsa", "inducing"])
def test_one_layer_of_the_other_mechanisms_sees_all(name: str) -> None:
    """All but relu, in which about half of the keys count nothing."""
    assert seen_by_the_middle({"name": name}, 5, 1).all()


def test_distant_vectors_reach_attention_but_not_a_recurrent_network() -> None:
    """The gradient of the last of 128 vectors with respect to the first, before any training."""
    torch.manual_seed(0)
    x = torch.randn(1, 128, 32, requires_grad=True)
    norms = {}
    network: Any = ViT(patch=1, width=32, depth=1, heads=1).build(2, 8)
    for name, outputs in (
        ("lstm", nn.LSTM(32, 32, batch_first=True)(x)[0]),
        ("attention", network.blocks[0].attn(x)),
    ):
        (gradient,) = torch.autograd.grad(outputs[0, -1].sum(), x)
        norms[name] = gradient[0, 0].norm().item()
    assert norms["lstm"] < 1e-20
    assert norms["attention"] > 1e-5


@pytest.mark.parametrize("prefix", [0, 2])
def test_every_weight_has_a_gradient(
    pair: tuple[str, str], prefix: int, made: Made, vectors: Callable[..., Tensor]
) -> None:
    module = made(*pair, prefix=prefix).train()
    module(vectors(30 + prefix)).square().sum().backward()
    for name, weights in module.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 1e-9, name


@pytest.mark.parametrize("name", ["window", "dilated"])
def test_every_weight_has_a_gradient_through_tiles(name: str, made: Made, vectors: Callable[..., Tensor]) -> None:
    module = made(name, "relative", (32, 32), 1).train()
    assert module.tiled
    module(vectors(1025, batch=1)).square().sum().backward()
    for weight, weights in module.named_parameters():
        assert weights.grad is not None, weight
        assert weights.grad.abs().max() > 1e-9, weight
