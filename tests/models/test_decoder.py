"""Heads of sequences: steps give what one pass over all places gives, and no place sees what comes after it."""

import pytest
import torch

from vitrail.models.decoder import Attention, Autoregressive, Parallel, SequenceHead

VECTORS = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(0))
END = 4


def head(kind: type[SequenceHead]) -> SequenceHead:
    torch.manual_seed(0)
    return kind(16, END, heads=4, length=5, layers=2).eval()


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj = ours.output  # type: ignore[assignment]
    x = torch.randn(3, 2, 16)
    expected, weights = theirs(x, VECTORS, VECTORS, average_attn_weights=False)
    seen = ours.keys_and_values(VECTORS)
    torch.testing.assert_close(ours(x, seen), expected)
    torch.testing.assert_close(ours.weights(x, seen), weights)


def test_steps_give_the_logits_of_one_pass_after_the_same_labels() -> None:
    autoregressive = head(Autoregressive)
    logits = autoregressive(VECTORS)
    assert logits.shape == (3, 5, END + 1)
    torch.testing.assert_close(autoregressive.logits_after(VECTORS, logits.argmax(-1)), logits, atol=1e-5, rtol=0)


def test_a_label_changes_the_places_after_it_alone() -> None:
    autoregressive, labels = head(Autoregressive), torch.tensor([[0, 1, 2, 3, END]] * 3)
    before = autoregressive.logits_after(VECTORS, labels)
    labels[:, 2] = 0
    changed = (autoregressive.logits_after(VECTORS, labels) - before).abs().amax(dim=(0, 2))
    assert changed[:3].max() < 1e-6
    assert changed[3:].min() > 1e-3


def test_places_in_parallel_need_no_labels() -> None:
    parallel = head(Parallel)
    logits = parallel(VECTORS)
    torch.testing.assert_close(parallel.logits_after(VECTORS, torch.zeros(3, 5, dtype=torch.long)), logits)
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [Autoregressive, Parallel])
def test_an_image_is_a_set_of_vectors(kind: type[SequenceHead]) -> None:
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(head(kind)(VECTORS[:, order]), head(kind)(VECTORS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Autoregressive, Parallel])
def test_every_weight_has_a_gradient(kind: type[SequenceHead]) -> None:
    one = head(kind)
    labels = torch.tensor([[0, 1, 2, 3, END], [3, 2, 1, END, END], [1, END, END, END, END]])
    (one.logits_after(VECTORS, labels) ** 2).sum().backward()
    still = [name for name, weights in one.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert not still
