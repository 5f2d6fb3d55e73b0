"""Weights of images: each multiplies the loss of its image, in every task."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitrail.models.box_head import corners_of
from vitrail.models.heads import ValueHead
from vitrail.tasks.detection.predictions import NO_BOX
from vitrail.tasks.multilabel.training import set_losses
from vitrail.tasks.sequence.predictions import ENDED
from vitrail.tasks.task import TaskName
from vitrail.tasks.training import TRAINING_TASKS

TARGETS: dict[TaskName, Tensor] = {
    "classification": torch.tensor([0, 2, 1, 1]),
    "multilabel": torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]),
    "regression": torch.tensor([[1.0, -2, 30], [4, 0, 8], [0, 0, 0], [2, 7, 1]]),
    "dense": torch.tensor([0, 1, 2, 1], dtype=torch.uint8)[:, None, None].expand(4, 2, 2),
    "dense-regression": torch.arange(48.0).reshape(4, 3, 2, 2) / 10,
    "sequence": torch.tensor([[0, 2], [1, ENDED], [2, 2], [0, ENDED]]),
    "detection": torch.tensor(
        [
            [[0, 0.0, 0.0, 0.4, 0.4], [2, 0.5, 0.5, 0.8, 1.0]],
            [[1, 0.2, 0.1, 0.5, 0.3], [NO_BOX] * 5],
            [[NO_BOX] * 5] * 2,
            [[2, 0.1, 0.1, 0.9, 0.9], [2, 0.3, 0.2, 0.6, 0.8]],
        ]
    ),
}


class Network(nn.Module):
    """The logits are the pixels: [B, 3], [B, 2, 2, 3] for dense tasks, [B, 2, 4] for sequences, [B, 3, 8] of boxes."""

    def __init__(self, task: TaskName) -> None:
        super().__init__()
        self.head: nn.Module = HEADS[task]() if task in HEADS else ValueHead(3, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels

    def forward_features(self, pixels: Tensor) -> Tensor:
        return pixels

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return features

    def get_classifier(self) -> Any:
        return self.head


class Places(nn.Module):
    """A head of sequences whose logits are its input."""

    length = 2

    def logits_after(self, vectors: Tensor, classes: Tensor) -> Tensor:
        return vectors


class Queries(nn.Module):
    """A head of boxes whose logits and boxes are its input."""

    nothing = 0.2

    def by_layer(self, vectors: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [(vectors[..., 4:], corners_of(vectors[..., :4].sigmoid()))]


HEADS: dict[TaskName, type[nn.Module]] = {"sequence": Places, "detection": Queries}
SHAPES: dict[TaskName, tuple[int, ...]] = {
    "dense": (2, 2, 3),
    "dense-regression": (2, 2, 3),
    "sequence": (2, 4),
    "detection": (3, 8),
}


def logits(task: TaskName, count: int = 4) -> Tensor:
    shape = (count, *SHAPES.get(task, (3,)))
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("task", TARGETS)
def test_an_image_of_weight_two_counts_like_the_image_twice(task: TaskName) -> None:
    training, net, pixels, target = TRAINING_TASKS[task](3, 0.0, 0.0), Network(task), logits(task), TARGETS[task]
    twice = torch.tensor([0, 1, 1, 2, 3])
    expected = training.loss(net, pixels[twice], target[twice]) * 5 / 4
    torch.testing.assert_close(training.loss(net, pixels, target, torch.tensor([1.0, 2, 1, 1])), expected)


@pytest.mark.parametrize("task", TARGETS)
def test_the_loss_is_the_mean_of_those_of_the_images(task: TaskName) -> None:
    training, net, pixels, target = TRAINING_TASKS[task](3, 0.0, 0.0), Network(task), logits(task), TARGETS[task]
    alone = torch.stack([training.loss(net, pixels[[i]], target[[i]]) for i in range(4)])
    torch.testing.assert_close(training.losses(net, pixels, target), alone)
    torch.testing.assert_close(training.loss(net, pixels, target), alone.mean())


def test_queries_of_a_set_are_weighed_with_their_image() -> None:
    queries, target = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(2)), torch.tensor([[1, 0, 0, 1]] * 2)
    both = set_losses(queries, target, nothing=0.25)
    alone = torch.cat([set_losses(queries[[i]], target[[i]], nothing=0.25) for i in range(2)])
    torch.testing.assert_close(both, alone)  # both have two labels and one query without
