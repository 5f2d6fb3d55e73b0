"""Training on sequences: the loss of a case by its definition, and validation by whole sequences."""

from typing import Any

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.models import CNN, ViT
from vitrail.tasks.sequence.predictions import ENDED
from vitrail.tasks.sequence.training import SequenceTraining

TARGET = torch.tensor([[1, 0, ENDED], [2, ENDED, ENDED]])
ENDS = torch.tensor([[1, 0, 3, 3], [2, 3, 3, 3]])  # with four places


def training() -> SequenceTraining:
    return SequenceTraining(3, 0.0)


def network(head: str = "autoregressive", length: int = 4) -> Any:
    torch.manual_seed(0)
    vit = ViT(patch=4, width=16, depth=1, heads=2, head={"name": head, "length": length})
    return vit.build(3, 16, "sequence").eval()


@pytest.mark.parametrize("head", ["autoregressive", "parallel"])
def test_the_loss_is_the_cross_entropy_of_every_place(head: str) -> None:
    net, pixels = network(head), torch.randn(2, 3, 16, 16)
    vectors = net.forward_head(net.forward_features(pixels), pre_logits=True)
    log = net.get_classifier().logits_after(vectors, ENDS).log_softmax(-1)
    expected = -log.gather(2, ENDS[..., None]).mean(dim=(1, 2))
    torch.testing.assert_close(training().losses(net, pixels, TARGET), expected)


def test_validation_counts_whole_sequences() -> None:
    outputs = 9.0 * torch.nn.functional.one_hot(torch.tensor([[1, 0, 3, 1], [2, 2, 3, 3]]), 4)
    assert training().validation(None, outputs, TARGET)["val_accuracy"] == 0.5
    longer = torch.tensor([[1, 0, 2, 1, 1], [2, 2, ENDED, ENDED, ENDED]])
    assert training().validation(None, outputs, longer)["val_accuracy"] == 0.5


def test_sequences_that_are_longer_than_the_head_are_refused() -> None:
    with pytest.raises(UsageError, match="an image has 2 labels in its sequence, and the head a length of 1"):
        training().prepare(network(length=1), TARGET.numpy())
    training().prepare(network(length=2), TARGET.numpy())


def test_a_network_without_a_head_for_sequences_is_refused() -> None:
    with pytest.raises(UsageError, match=r"predicts no sequences: .* autoregressive or parallel"):
        training().check(CNN(width=4, stages=2, blocks=1).build(3, 16, "sequence"))


def test_rows_name_the_labels() -> None:
    prediction = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    row = training().row(prediction, np.array([1, 0, ENDED]), ("ash", "birch", "cedar"))
    assert tuple(row) == ("birch;ash", "birch")
