"""Each mechanism computes its formula, and equals another where the two coincide."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import Tensor

from vitrail.attention import MECHANISMS, SelfAttention
from vitrail.attention.graph import NO_NEIGHBOUR, table_of
from vitrail.attention.linear import EPSILON, causal, factored, positive, recurrent
from vitrail.errors import UsageError
from vitrail.vectors.grid import cells_of

EXACT: dict[str, Any] = {"atol": 1e-12, "rtol": 0.0}
Made = Callable[..., Any]  # each mechanism has its own parameters
Vectors = Callable[..., Tensor]


def same(outputs: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(outputs, expected, **EXACT)


def carried_over(source: SelfAttention, target: SelfAttention) -> SelfAttention:
    target.load_state_dict(source.state_dict())
    return target


def weighed(module: SelfAttention, x: Tensor, seen: Tensor | None = None) -> Tensor:
    """What attention gives when its weights, all of them written out, are multiplied with the values."""
    _, _, v = module.heads(x)
    return module.merge(module.weights(x, seen) @ v)


def test_softmax_is_timms(made: Made, vectors: Vectors) -> None:
    ours = made("softmax")
    theirs = Attention(16, num_heads=4, qkv_bias=True).double().eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(vectors(30)), theirs(vectors(30)))


@pytest.mark.parametrize("prefix", [0, 2])
def test_weights_are_those_of_the_output(
    direct_pair: tuple[str, str], prefix: int, made: Made, vectors: Vectors
) -> None:
    module, x = made(*direct_pair, prefix=prefix), vectors(30 + prefix)
    same(module(x), weighed(module, x))
    seen = torch.rand(2, 1, 1, 30 + prefix, generator=torch.Generator().manual_seed(2)) < 0.7
    same(module(x, attn_mask=seen), weighed(module, x, seen))


@pytest.mark.parametrize("prefix", [0, 2])
def test_weights_of_a_query_sum_to_one(
    normalised_pair: tuple[str, str], prefix: int, made: Made, vectors: Vectors
) -> None:
    sums = made(*normalised_pair, prefix=prefix).weights(vectors(30 + prefix)).sum(dim=-1)
    bound = 1e-4 if normalised_pair[0] == "linear" else 1e-12  # linear adds EPSILON to what it divides by
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=bound, rtol=0)


def test_additive_scores_are_a_network_on_pairs(made: Made, vectors: Vectors) -> None:
    """wᵀ tanh(W [x_i; x_j]), with W the weights of queries and keys side by side."""
    module, x = made("additive"), vectors(30)
    of_q, of_k, _ = module.qkv.weight.unflatten(0, (3, 4, 4)).unbind(0)  # [heads, head_dim, 16]
    bias_q, bias_k, _ = module.qkv.bias.unflatten(0, (3, 4, 4)).unbind(0)
    pairs = torch.cat([x[:, :, None].expand(-1, -1, 30, -1), x[:, None].expand(-1, 30, -1, -1)], dim=-1)
    hidden = torch.einsum("bijc,hdc->bhijd", pairs, torch.cat([of_q, of_k], dim=2)) + (bias_q + bias_k)[:, None, None]
    scores = torch.einsum("bhijd,hd->bhij", hidden.tanh(), module.score)
    same(module.weights(x), scores.softmax(dim=-1))


def test_relu_divides_by_the_number_of_visible_keys(made: Made, vectors: Vectors) -> None:
    module, x = made("relu"), vectors(30)
    q, k, _ = module.heads(x)
    scores = (q @ k.transpose(2, 3) / 2.0).relu()  # head_dim is 4
    same(module.weights(x), scores / 30)
    seen = torch.arange(30).expand(2, 1, 1, 30) < 7
    same(module.weights(x, seen), scores * seen / 7)


def test_relu_weights_do_not_grow_with_the_number_of_vectors(made: Made, vectors: Vectors) -> None:
    masses = [made("relu").weights(vectors(n, batch=8)).sum(dim=-1).mean().item() for n in (16, 128, 1024)]
    assert masses == pytest.approx([masses[-1]] * 3, rel=0.15)


def test_gpsa_mixes_content_and_position(made: Made, vectors: Vectors) -> None:
    module, x = made("gpsa"), vectors(30)
    q, k, _ = module.heads(x)
    places = cells_of((5, 6)).double()
    offsets = places[None] - places[:, None]
    features = torch.cat([offsets, offsets.square().sum(-1, keepdim=True)], dim=-1)
    where = torch.einsum("ijf,hf->hij", features, module.looks).softmax(dim=-1)
    what = (q @ k.transpose(2, 3) / 2.0).softmax(dim=-1)
    gate = module.balance.sigmoid()[:, None, None]
    same(module.weights(x), (1 - gate) * what + gate * where)


def test_gpsa_starts_as_a_convolution() -> None:
    """Where only places count, each of nine heads looks at one of the nine offsets and passes values as they are."""
    module: Any = MECHANISMS["gpsa"](36, num_heads=9)
    module.grid = (5, 5)
    assert torch.equal(module.balance, torch.ones(9))
    assert torch.equal(module.qkv.weight[72:], torch.eye(36))
    looked_at = module.by_position(None)[:, 12].argmax(dim=-1)  # from the middle of the grid
    assert looked_at.tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]


def test_inducing_is_two_softmaxes_through_its_points(made: Made, vectors: Vectors) -> None:
    module, x = made("inducing"), vectors(30)
    q, k, v = module.heads(x)
    outputs = (module.points @ k.transpose(2, 3) / 2.0).softmax(dim=-1) @ v  # [B, heads, points, head_dim]
    keys, values = module.gathered(outputs.transpose(1, 2).flatten(2)).unflatten(2, (2, 4, 4)).unbind(2)
    mixed = (q @ keys.permute(0, 2, 3, 1) / 2.0).softmax(dim=-1) @ values.transpose(1, 2)
    same(module(x), module.merge(mixed))
    same(module.weights(x).sum(dim=-1), torch.ones(2, 4, 30, dtype=torch.float64))


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", ["none", "relative", "rope"])
def test_a_window_over_the_whole_grid_is_softmax(positions: str, prefix: int, made: Made, vectors: Vectors) -> None:
    window = made("window", positions, prefix=prefix, reach=5)
    full = carried_over(window, made("softmax", positions, prefix=prefix))
    same(window(vectors(30 + prefix)), full(vectors(30 + prefix)))


@pytest.mark.parametrize("grid", [(5, 6), (24, 24)])
@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", ["none", "relative", "quadratic", "floater", "rope"])
def test_a_graph_of_touching_cells_is_a_window_of_reach_one(
    positions: str, prefix: int, grid: tuple[int, int], made: Made, vectors: Vectors
) -> None:
    """At 24×24 the window is computed in tiles, so three ways of computing meet here: neighbours, mask, tiles."""
    window, x = made("window", positions, grid, prefix), vectors(grid[0] * grid[1] + prefix)
    graph = carried_over(window, made("graph", positions, grid, prefix))
    assert window.tiled is (grid == (24, 24))
    same(graph(x), window(x))


def test_a_graph_equals_a_mask_of_all_other_pairs(made: Made, vectors: Vectors) -> None:
    adjacent = torch.rand(30, 30, generator=torch.Generator().manual_seed(3)) < 0.2
    graph = made("graph", table=table_of(adjacent))
    full = carried_over(graph, made("softmax"))
    same(graph(vectors(30)), full(vectors(30), attn_mask=adjacent))


def test_a_graph_without_corners_touches_by_sides(made: Made, vectors: Vectors) -> None:
    seen = made("graph", neighbours=4).weights(vectors(30))[0, 0] > 0
    places = cells_of((5, 6))
    assert torch.equal(seen, (places[None] - places[:, None]).abs().sum(-1) <= 1)


def test_the_output_of_a_cell_without_neighbours_is_zero(made: Made, vectors: Vectors) -> None:
    adjacent = torch.eye(30, dtype=torch.bool)
    adjacent[7] = False
    module, x = made("graph", table=table_of(adjacent)), vectors(30).requires_grad_()
    assert module.table[7].tolist() == [NO_NEIGHBOUR]
    outputs = module(x)
    same(outputs[:, 7], module.proj.bias.expand(2, -1))
    outputs.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[:, 7] == 0).all()


def test_linear_is_quadratic_is_factored(made: Made, vectors: Vectors) -> None:
    module, x = made("linear"), vectors(30)
    same(module(x), weighed(module, x))
    q, k, v = module.heads(x)
    products = positive(q) @ positive(k).transpose(2, 3)
    same(factored(positive(q), positive(k), v), products @ v / (products.sum(-1, keepdim=True) + EPSILON))


def test_linear_in_time_is_a_recurrent_network(made: Made, vectors: Vectors) -> None:
    q, k, v = made("linear").heads(vectors(30))
    q, k = positive(q), positive(k)
    same(recurrent(q, k, v), causal(q, k, v))
    same(recurrent(q, k, v)[:, :, -1], factored(q, k, v)[:, :, -1])  # the last has seen all


def test_causal_attention_is_refused(pair: tuple[str, str], made: Made, vectors: Vectors) -> None:
    with pytest.raises(UsageError, match="have no order"):
        made(*pair)(vectors(30), is_causal=True)


@pytest.mark.parametrize("name", ["softmax", "additive", "relu", "linear", "inducing"])
def test_without_positions_order_does_not_matter(name: str, made: Made, vectors: Vectors) -> None:
    module, x = made(name), vectors(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    same(module(x[:, order]), module(x)[:, order])


def test_a_graph_in_another_order_is_the_same_graph(made: Made, vectors: Vectors) -> None:
    adjacent = torch.rand(30, 30, generator=torch.Generator().manual_seed(3)) < 0.2
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    before = made("graph", table=table_of(adjacent))
    after = made("graph", table=table_of(adjacent[order][:, order]))
    same(after(vectors(30)[:, order]), before(vectors(30))[:, order])


@pytest.mark.parametrize("name", ["window", "dilated", "graph", "gpsa"])
def test_mechanisms_on_a_grid_depend_on_the_order(name: str, made: Made, vectors: Vectors) -> None:
    module, x = made(name), vectors(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 0.1


def test_with_positions_order_matters(placed_pair: tuple[str, str], made: Made, vectors: Vectors) -> None:
    module, x = made(*placed_pair), vectors(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 1e-3


def test_heads_are_independent(made: Made, vectors: Vectors) -> None:
    """concat(heads) W: the same as the sum over heads of what each gives through its columns of W."""
    module, x = made("softmax"), vectors(30)
    q, k, v = module.heads(x)
    outputs = F.scaled_dot_product_attention(q, k, v)
    columns = module.proj.weight.unflatten(1, (4, 4))  # [16, heads, head_dim]
    same(module(x), torch.einsum("bhnd,ohd->bno", outputs, columns) + module.proj.bias)
