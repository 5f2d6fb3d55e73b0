"""Pools: mean and maximum of unmasked vectors, and attention that starts as a mean."""

from typing import Any

import pytest
import torch
from timm.models.vision_transformer import global_pool_nlc
from torch import Tensor

from vitrail.models import ViT
from vitrail.vectors.pooling import Attentive, max_of, mean_of


def vectors() -> Tensor:
    return torch.randn(3, 10, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mask() -> Tensor:
    """All vectors of the first image, the first six of the second, none of the third."""
    return torch.arange(10)[None] < torch.tensor([[10], [6], [0]])


def attentive(zero: bool = False) -> Attentive:
    pool = Attentive(8).double()
    if not zero:
        torch.nn.init.normal_(pool.score.weight, generator=torch.Generator().manual_seed(1))
    return pool


def test_mean_and_max_are_timms() -> None:
    assert torch.equal(mean_of(vectors()), global_pool_nlc(vectors(), "avg", num_prefix_tokens=0))
    assert torch.equal(max_of(vectors()), global_pool_nlc(vectors(), "max", num_prefix_tokens=0))


def test_attentive_is_the_mean_with_weights_at_zero_as_at_the_start() -> None:
    pool = attentive(zero=True)
    torch.testing.assert_close(pool(vectors()), vectors().mean(dim=1), atol=1e-12, rtol=0)
    torch.testing.assert_close(pool(vectors(), mask()), mean_of(vectors(), mask()), atol=1e-12, rtol=0)


def test_attentive_is_a_softmax_over_vectors() -> None:
    pool, x = attentive(), vectors()
    shares = torch.stack([(image @ pool.score.weight[0]).softmax(dim=0) for image in x])
    torch.testing.assert_close(pool.shares(x), shares, atol=1e-12, rtol=0)
    torch.testing.assert_close(pool(x), torch.einsum("bn,bnd->bd", shares, x), atol=1e-12, rtol=0)
    assert (pool(x) - x.mean(dim=1)).abs().max() > 0.1


@pytest.mark.parametrize("pool", [mean_of, max_of, attentive()], ids=["mean", "max", "attentive"])
def test_masked_vectors_are_left_out(pool: torch.nn.Module) -> None:
    x = vectors()
    other = torch.where(mask().unsqueeze(-1), x, torch.full_like(x, 1e6))
    outputs = pool(other, mask())
    assert torch.equal(outputs, pool(x, mask()))
    torch.testing.assert_close(outputs[:1], pool(x[:1]), atol=1e-12, rtol=0)
    torch.testing.assert_close(outputs[1:2], pool(x[1:2, :6]), atol=1e-12, rtol=0)
    assert torch.equal(outputs[2], torch.zeros(8, dtype=torch.float64))


@pytest.mark.parametrize("pool", [mean_of, max_of, attentive()], ids=["mean", "max", "attentive"])
def test_gradients_of_empty_sets_are_numbers(pool: torch.nn.Module) -> None:
    x = vectors().requires_grad_()
    pool(x, mask()).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[~mask()] == 0).all()
    assert x.grad[:2].abs().max() > 0


@pytest.mark.parametrize("pool", [mean_of, max_of, attentive()], ids=["mean", "max", "attentive"])
def test_pools_ignore_the_order(pool: torch.nn.Module) -> None:
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(pool(vectors()[:, order]), pool(vectors()), atol=1e-12, rtol=0)


def test_a_network_with_an_attentive_pool_starts_with_the_mean() -> None:
    network: Any = ViT(patch=2, width=16, depth=1, heads=2, pool="attentive").build(3, 8).eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    features = network.forward_features(x)
    embedding = network.forward_head(features, pre_logits=True)
    torch.testing.assert_close(embedding, features.mean(dim=1), atol=1e-6, rtol=0)
    network.attn_pool.score.weight.data.normal_()
    shares = network.attn_pool.shares(features)
    expected = torch.einsum("bn,bnd->bd", shares, features)
    torch.testing.assert_close(network.forward_head(features, pre_logits=True), expected, atol=1e-6, rtol=0)
