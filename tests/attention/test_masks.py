"""Masks: masked vectors have no effect, and fully masked queries are zero rather than NaN."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vitrail.attention import SelfAttention
from vitrail.errors import UsageError
from vitrail.vectors.positions.offsets import clipped

Made = Callable[..., SelfAttention]
Vectors = Callable[..., Tensor]

TILED: list[tuple[str, tuple[int, int], dict[str, Any]]] = [
    ("window", (24, 24), {"reach": 3}),
    ("window", (24, 24), {"reach": [1, 3, 2, 2]}),
    ("dilated", (33, 35), {"reach": 2, "step": 2}),
]


def random_mask(batch: int, vectors: int, share: float = 0.6) -> Tensor:
    """Which keys count, [B, 1, 1, N]; the first, which may be a class token, always does."""
    seen = torch.rand(batch, 1, 1, vectors, generator=torch.Generator().manual_seed(2)) < share
    seen[..., 0] = True
    return seen


def refuse_influence(module: SelfAttention, x: Tensor) -> None:
    seen = random_mask(len(x), x.shape[1])
    out = seen[:, 0, 0]
    other = torch.where(out.unsqueeze(-1), x, 100 * x.flip(0) - 3)
    outputs = module(x, attn_mask=seen), module(other, attn_mask=seen)
    torch.testing.assert_close(outputs[0][out], outputs[1][out], atol=1e-12, rtol=0)
    assert (module(x) - outputs[0]).abs().max() > 1e-3  # without the mask they have an effect


@pytest.mark.parametrize("prefix", [0, 2])
def test_masked_vectors_have_no_effect(pair: tuple[str, str], prefix: int, made: Made, vectors: Vectors) -> None:
    refuse_influence(made(*pair, prefix=prefix), vectors(30 + prefix))


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", ["none", "relative"])
@pytest.mark.parametrize(("name", "grid", "options"), TILED)
def test_masked_vectors_have_no_effect_in_tiles(
    name: str, grid: tuple[int, int], options: dict[str, Any], positions: str, prefix: int, made: Made, vectors: Vectors
) -> None:
    module = made(name, positions, grid, prefix, **options)
    assert module.tiled
    refuse_influence(module, vectors(grid[0] * grid[1] + prefix))


@pytest.mark.parametrize("name", ["softmax", "additive", "relu", "linear", "inducing"])
def test_padding_with_masked_vectors_has_no_effect(name: str, made: Made, vectors: Vectors) -> None:
    module, x = made(name), vectors(30)
    alone = module(x[:, :21])
    padded = module(x, attn_mask=(torch.arange(30) < 21).expand(2, 1, 1, 30))
    torch.testing.assert_close(padded[:, :21], alone, atol=1e-12, rtol=0)


def on_grid(module: SelfAttention, smaller: SelfAttention) -> SelfAttention:
    """The weights of a module on a smaller grid, whose offsets are some of its own."""
    weights, old, new = module.state_dict(), module.grid, smaller.grid
    tables = [name for name in ("table", "keys", "values") if f"positions.{name}" in weights]
    for name in tables:
        weights[f"positions.{name}"] = clipped(weights[f"positions.{name}"], old, new)
    smaller.load_state_dict(weights)
    return smaller.eval()  # a table that is kept for inference is made anew


def refuse_effect_of_padding(module: SelfAttention, smaller: SelfAttention, x: Tensor) -> None:
    """The second of two images has rows of padding at its end."""
    count = smaller.prefix + smaller.grid[0] * smaller.grid[1]
    seen = (torch.arange(x.shape[1]) < torch.tensor([[x.shape[1]], [count]]))[:, None, None]
    with torch.inference_mode():
        padded, alone = module(x, attn_mask=seen), on_grid(module, smaller)(x[1:, :count])
        torch.testing.assert_close(padded[1:, :count], alone, atol=1e-12, rtol=0)
        torch.testing.assert_close(padded[:1], module(x[:1]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("prefix", [0, 2])
def test_rows_of_padding_have_no_effect(pair: tuple[str, str], prefix: int, made: Made, vectors: Vectors) -> None:
    module, smaller = made(*pair, prefix=prefix), made(*pair, grid=(3, 6), prefix=prefix)
    refuse_effect_of_padding(module, smaller, vectors(30 + prefix))


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("positions", ["none", "relative"])
@pytest.mark.parametrize(("name", "grid", "options"), TILED)
def test_rows_of_padding_have_no_effect_in_tiles(
    name: str, grid: tuple[int, int], options: dict[str, Any], positions: str, prefix: int, made: Made, vectors: Vectors
) -> None:
    module = made(name, positions, grid, prefix, **options)
    smaller = made(name, positions, (grid[0] - 10, grid[1]), prefix, **options)
    refuse_effect_of_padding(module, smaller, vectors(grid[0] * grid[1] + prefix))


def refuse_no_numbers(module: SelfAttention, x: Tensor, seen: Tensor) -> Tensor:
    """What it gives; neither that nor any gradient may be without number."""
    module.train()
    outputs: Tensor = module(x.requires_grad_(), attn_mask=seen)
    assert outputs.isfinite().all()
    outputs.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for name, weights in module.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all(), name
    return outputs


@pytest.mark.parametrize("prefix", [0, 2])
def test_fully_masked_queries_are_zero(pair: tuple[str, str], prefix: int, made: Made, vectors: Vectors) -> None:
    """All vectors of the first of two images are masked; that must not affect the second."""
    module, x = made(*pair, prefix=prefix), vectors(30 + prefix)
    seen = random_mask(2, 30 + prefix)
    alone = module(x[1:], attn_mask=seen[1:])
    seen[0] = False
    outputs = refuse_no_numbers(module, x, seen)
    torch.testing.assert_close(outputs[1:], alone, atol=1e-12, rtol=0)
    if pair[0] != "inducing":  # whose queries need no key
        torch.testing.assert_close(outputs[0], module.proj.bias.expand_as(outputs[0]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize(("name", "grid", "options"), TILED)
def test_fully_masked_queries_in_tiles_are_zero(
    name: str, grid: tuple[int, int], options: dict[str, Any], prefix: int, made: Made, vectors: Vectors
) -> None:
    count = grid[0] * grid[1] + prefix
    module, seen = made(name, "relative", grid, prefix, **options), random_mask(2, count)
    seen[0] = False
    outputs = refuse_no_numbers(module, vectors(count), seen)
    torch.testing.assert_close(outputs[0], module.proj.bias.expand_as(outputs[0]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("positions", ["none", "relative"])
@pytest.mark.parametrize("name", ["softmax", "additive", "relu", "gpsa", "window", "dilated"])
def test_single_pairs_can_be_masked_where_pairs_are_scored(
    name: str, positions: str, made: Made, vectors: Vectors
) -> None:
    module, x = made(name, positions), vectors(30)
    pairs = torch.rand(30, 30, generator=torch.Generator().manual_seed(3)) < 0.5
    pairs[7] = False
    weights = module.weights(x, pairs)
    assert (weights[:, :, ~pairs] == 0).all()
    _, _, v = module.heads(x)
    outputs = refuse_no_numbers(module, x, pairs)
    torch.testing.assert_close(outputs, module.merge(weights @ v), atol=1e-12, rtol=0)
    torch.testing.assert_close(outputs[:, 7], module.proj.bias.expand(2, -1), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("name", "grid", "options"),
    [("linear", (5, 6), {}), ("inducing", (5, 6), {}), ("graph", (5, 6), {}), *TILED],
)
def test_single_pairs_are_refused_where_none_are_scored(
    name: str, grid: tuple[int, int], options: dict[str, Any], made: Made, vectors: Vectors
) -> None:
    count = grid[0] * grid[1]
    with pytest.raises(UsageError, match="can mask vectors, but no pairs"):
        made(name, grid=grid, **options)(vectors(count), attn_mask=torch.ones(count, count, dtype=torch.bool))


@pytest.mark.parametrize("name", ["window", "dilated", "graph"])
def test_class_tokens_see_all_and_are_seen_by_all(name: str, made: Made, vectors: Vectors) -> None:
    weights = made(name, prefix=2).weights(vectors(32))
    assert (weights[:, :, :2] > 0).all()
    assert (weights[..., :2] > 0).all()
    assert (weights[:, :, 2:, 2:] == 0).any()


def test_prefix_tokens_have_no_position(placed_pair: tuple[str, str], made: Made, vectors: Vectors) -> None:
    """Their outputs do not depend on their places."""
    module, x = made(*placed_pair, prefix=2), vectors(32)
    q, k, v = module.heads(x)
    plain_q, plain_k, plain_v = module.qkv(x).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4).unbind(0)
    for outputs, plain in ((q, plain_q), (k, plain_k), (v, plain_v)):
        assert torch.equal(outputs[:, :, :2], plain[:, :, :2])
    bias = module.full_bias()
    if bias is not None:
        assert (bias[:, :2] == 0).all()
        assert (bias[:, :, :2] == 0).all()
        assert (bias[:, 2:, 2:] != 0).any()
