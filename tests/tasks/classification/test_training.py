"""Balanced losses of a small imbalanced set: by hand, and beside torch's weighted cross-entropy."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.models.heads import Cosine
from vitrail.tasks.classification.training import ClassificationTraining
from vitrail.tasks.training_task import Balance

LABELS = torch.tensor([0, 0, 0, 0, 0, 2, 2, 1])
SHARES = torch.tensor([5 / 8, 1 / 8, 2 / 8])
BLENDS = 0.7 * F.one_hot(LABELS, 3) + 0.3 * F.one_hot(LABELS.roll(1), 3)


class Network(nn.Module):
    """The logits are the pixels."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.head = head or nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels

    def get_classifier(self) -> Any:
        return self.head


def logits() -> Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()


def task(balance: Balance, smoothing: float = 0.0, weights: Tensor | None = None) -> ClassificationTraining:
    made = ClassificationTraining(3, smoothing, balance=balance)
    made.prepare(Network(), LABELS.numpy(), None if weights is None else weights.double().numpy())
    return made


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


@pytest.mark.parametrize("target", [LABELS, BLENDS], ids=["labels", "blends"])
def test_gradients_of_weights_are_those_of_torchs_weighted_cross_entropy(target: Tensor) -> None:
    pixels = logits()
    expected = F.cross_entropy(pixels, target, weight=1 / (3 * SHARES), reduction="sum") / 8
    loss = task("weights").loss(Network(), pixels, target)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient(loss, pixels), gradient(expected, pixels))


def test_weights_multiply_the_smoothed_loss_of_an_image() -> None:
    pixels = logits()
    plain = F.cross_entropy(pixels, LABELS, label_smoothing=0.1, reduction="none")
    expected = plain / (3 * SHARES)[LABELS]
    torch.testing.assert_close(task("weights", 0.1).losses(Network(), pixels, LABELS), expected)
    as_shares = task("weights", 0.1).losses(Network(), pixels, F.one_hot(LABELS, 3).float())
    torch.testing.assert_close(as_shares, expected)


def test_weights_of_images_and_of_classes_give_all_classes_the_same_weight() -> None:
    of_images = torch.tensor([1.0, 1, 1, 1, 2, 3, 1, 6])
    of_images /= of_images.mean()
    balanced = task("weights", weights=of_images).class_weights
    assert balanced is not None
    totals = torch.zeros(3).index_add(0, LABELS, of_images * balanced[LABELS])
    torch.testing.assert_close(totals, torch.full((3,), 8 / 3))


@pytest.mark.parametrize("target", [LABELS, BLENDS], ids=["labels", "blends"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logit_adjust_is_the_loss_of_logits_plus_log_shares(target: Tensor, smoothing: float) -> None:
    pixels = logits()
    shares = F.one_hot(target, 3) if target.ndim == 1 else target
    smooth = (1 - smoothing) * shares + smoothing / 3
    biased = SHARES * pixels.exp()
    expected = -(smooth * (biased / biased.sum(dim=1, keepdim=True)).log()).sum(dim=1)
    torch.testing.assert_close(task("logit_adjust", smoothing).losses(Network(), pixels, target), expected)


def test_logit_adjust_leaves_validation_and_predictions_alone() -> None:
    outputs = logits().detach()
    plain, adjusted = (task(one).validation(None, outputs, LABELS) for one in ("none", "logit_adjust"))
    assert plain == adjusted
    torch.testing.assert_close(adjusted["val_loss"], F.cross_entropy(outputs, LABELS))


def test_a_margin_is_taken_from_the_target_class_whatever_its_weight() -> None:
    net, pixels = Network(Cosine(2, 3, scale=10.0, margin=0.2)), logits()
    lowered = pixels - 2 * F.one_hot(LABELS, 3)
    expected = F.cross_entropy(lowered, LABELS, weight=1 / (3 * SHARES), reduction="none")
    torch.testing.assert_close(task("weights").losses(net, pixels, LABELS), expected)


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_other_choices_leave_the_loss_alone(balance: Balance) -> None:
    pixels = logits()
    expected = F.cross_entropy(pixels, LABELS)
    torch.testing.assert_close(task(balance).loss(Network(), pixels, LABELS), expected)


def test_a_sampler_with_weights_of_images_is_refused() -> None:
    with pytest.raises(UsageError, match="choose balance weights or logit_adjust, or leave out the weights"):
        ClassificationTraining(3, 0.0, balance="sampler").prepare(None, LABELS.numpy(), np.ones(8))
