"""The set head: log-odds that any query has a label, exact near 0 and 1."""

from itertools import permutations

import numpy as np
import pytest
import torch

from vitrail.models.set_head import SetHead, log_odds_of_any, log_odds_of_each
from vitrail.tasks.multilabel.training import matched, set_losses
from vitrail.vectors.sets import VectorSet

VECTORS = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(0))


def head(queries: int = 5) -> SetHead:
    torch.manual_seed(0)
    return SetHead(16, 4, heads=4, queries=queries).eval()


def masked(vectors: torch.Tensor, mask: torch.Tensor) -> VectorSet:
    return VectorSet(vectors, mask, torch.zeros(*mask.shape, 2, dtype=torch.long))


def by_definition(logits: torch.Tensor) -> torch.Tensor:
    """log P / (1 - P) with P(c) = 1 - Π (1 - p_q(c)), in float64."""
    none = (1 - logits.double().softmax(-1)[..., :-1]).prod(dim=1)
    return torch.log((1 - none) / none)


@pytest.mark.parametrize("queries", [1, 2, 3, 5, 8, 16])
def test_an_image_has_a_label_if_any_query_has_it(queries: int) -> None:
    logits = 3 * torch.randn(4, queries, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    actual = log_odds_of_any(log_odds_of_each(logits))
    torch.testing.assert_close(actual, by_definition(logits), atol=1e-12, rtol=1e-12)


def test_log_odds_are_exact_near_zero_and_one() -> None:
    sure = torch.tensor(
        [[[60.0, 0.0, 0.0], [0.0, 0.0, 50.0]]]
    )  # the first query is sure of class 0, the other of nothing
    actual = log_odds_of_any(log_odds_of_each(sure))[0].double()
    assert actual[0].item() == pytest.approx(60 - np.log(2), abs=1e-4)  # against two others with logit 0
    both = np.log(np.exp(-60.0) + np.exp(-50.0))
    assert actual[1].item() == pytest.approx(both, abs=1e-4)
    never = torch.tensor([[[-90.0, -90.0, 30.0]] * 16])
    assert log_odds_of_any(log_odds_of_each(never))[0, 0].item() == pytest.approx(np.log(16) - 120, abs=1e-3)


def test_the_order_of_queries_does_not_matter() -> None:
    one = head()
    before = one(VECTORS)
    with torch.no_grad():
        one.queries.copy_(one.queries[torch.tensor([3, 0, 4, 1, 2])])
    torch.testing.assert_close(one(VECTORS), before, atol=1e-5, rtol=0)


def test_an_image_is_a_set_of_vectors() -> None:
    torch.testing.assert_close(head()(VECTORS[:, torch.randperm(9)]), head()(VECTORS), atol=1e-5, rtol=0)


def test_masked_vectors_and_other_images_have_no_effect() -> None:
    mask = torch.arange(9).expand(3, 9) < torch.tensor([[9], [5], [9]])
    other = VECTORS.clone()
    other[1, 5:] = 7.0
    actual = head()(masked(other, mask))
    torch.testing.assert_close(actual, head()(masked(VECTORS, mask)))
    torch.testing.assert_close(actual[1:2], head()(VECTORS[1:2, :5]), atol=1e-5, rtol=0)
    assert (head()(other) - head()(VECTORS))[1].abs().max() > 1e-3


def test_outputs_of_a_fully_masked_image_are_finite() -> None:
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1] = False
    actual = head()(masked(VECTORS, mask))
    assert actual.isfinite().all()
    torch.testing.assert_close(actual[[0, 2]], head()(VECTORS)[[0, 2]], atol=1e-5, rtol=0)


def test_every_weight_has_a_gradient() -> None:
    one = head().train()
    set_losses(
        one.query_logits(VECTORS), torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]]), one.nothing
    ).mean().backward()
    assert all(weights.grad is not None and weights.grad.abs().max() > 0 for weights in one.parameters())


def test_the_matching_is_optimal() -> None:
    random = torch.Generator().manual_seed(4)
    for _ in range(20):
        logits, labels = torch.randn(5, 7, generator=random), torch.randperm(6, generator=random)[:3]
        queries, order = matched(logits, labels)
        probabilities = logits.softmax(-1)[:, labels].numpy()
        best = max(sum(probabilities[q, i] for i, q in enumerate(chosen)) for chosen in permutations(range(5), 3))
        assert probabilities[queries, order].sum() == pytest.approx(best, abs=1e-6)


def test_the_loss_is_that_of_the_best_matching() -> None:
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, 5, generator=random)
    target = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0]])
    losses = -logits.log_softmax(-1)
    chances = logits[0].softmax(-1)
    first, second = max(permutations(range(3), 2), key=lambda pair: (chances[pair[0], 0] + chances[pair[1], 3]).item())
    (third,) = {0, 1, 2} - {first, second}
    weighed = losses[0, first, 0] + losses[0, second, 3] + 0.25 * (losses[0, third, 4] + losses[1, :, 4].sum())
    torch.testing.assert_close(set_losses(logits, target, nothing=0.25).mean(), weighed / (2 + 0.25 * 4))
