"""Heads of each task: which fit which, values in the units of the data, logits for each cell of any network."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.heads import Cosine, ValueHead
from vitrail.models.network import logits_and_embedding
from vitrail.tasks.task import TaskName

SMALL: dict[str, Any] = {"patch": 4, "width": 16, "depth": 1, "heads": 2}


def pixels(size: int = 16) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


def built(architecture: Architecture, task: TaskName, size: int = 16) -> torch.nn.Module:
    torch.manual_seed(0)
    return architecture.build(5, size, task).eval()


NETWORKS: dict[str, tuple[Architecture, TaskName, int, tuple[int, ...]]] = {
    "set": (ViT(**SMALL, head="set"), "multilabel", 16, (5,)),
    "set with its settings": (ViT(**SMALL, head={"name": "set", "queries": 3, "layers": 1}), "multilabel", 16, (5,)),
    "a sequence": (ViT(**SMALL, head={"name": "autoregressive", "length": 4}), "sequence", 16, (4, 6)),
    "boxes": (ViT(**SMALL, head={"name": "boxes", "queries": 7}), "detection", 16, (7, 10)),
    "a sequence in parallel": (ViT(**SMALL, pool="mean", head="parallel"), "sequence", 16, (8, 6)),
    "labels": (ViT(**SMALL, pool="token"), "multilabel", 16, (5,)),
    "labels of a CNN": (CNN(width=4, stages=2, blocks=1), "multilabel", 16, (5,)),
    "values": (ViT(**SMALL, pool="attentive"), "regression", 16, (5,)),
    "values of a CNN": (CNN(width=4, stages=2, blocks=1), "regression", 16, (5,)),
    "values of a network by name": (CNN(name="convnext_atto"), "regression", 64, (5,)),
    "values of a ViT by name": (ViT(name="vit_tiny_patch16_224"), "regression", 32, (5,)),
    "cells": (ViT(**SMALL), "dense", 16, (4, 4, 5)),
    "cells with parts": (
        ViT(**SMALL, attention="linear", positions="sincos2d", norm="batch"),
        "dense",
        16,
        (4, 4, 5),
    ),
    "cells of a CNN": (CNN(width=4, stages=2, blocks=1), "dense", 16, (8, 8, 5)),
    "cells of a ResNet": (CNN(name="resnet10t"), "dense", 64, (2, 2, 5)),
    "cells of a ConvNeXt": (CNN(name="convnext_atto"), "dense", 64, (2, 2, 5)),
    "cells of a ViT by name": (ViT(name="vit_tiny_patch16_224"), "dense", 48, (3, 3, 5)),
    "values of cells": (ViT(**SMALL, pool="mean"), "dense-regression", 16, (4, 4, 5)),
    "values of cells of a CNN": (CNN(width=4, stages=2, blocks=1), "dense-regression", 16, (8, 8, 5)),
    "values of cells of a ViT by name": (ViT(name="vit_tiny_patch16_224"), "dense-regression", 48, (3, 3, 5)),
    "a set of a ViT by name": (ViT(name="vit_tiny_patch16_224", head="set"), "multilabel", 32, (5,)),
}


@pytest.mark.parametrize(("architecture", "task", "size", "shape"), NETWORKS.values(), ids=NETWORKS.keys())
def test_outputs_have_the_shape_of_the_task(
    architecture: Architecture, task: TaskName, size: int, shape: tuple[int, ...]
) -> None:
    network = built(architecture, task, size)
    outputs, embedding = logits_and_embedding(network, pixels(size))
    assert outputs.shape == (3, *shape)
    assert embedding.ndim == 2
    torch.testing.assert_close(network(pixels(size)), outputs, atol=1e-5, rtol=0)
    torch.testing.assert_close(network(pixels(size)[1:2]), outputs[1:2], atol=1e-5, rtol=0)
    again = Architecture.from_plain(architecture.to_plain()).build(5, size, task).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(pixels(size)), outputs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["set", "values", "cells", "cells of a CNN", "cells of a ConvNeXt"])
def test_every_weight_has_a_gradient(name: str) -> None:
    architecture, task, size, _ = NETWORKS[name]
    network = built(architecture, task, size).train()
    (network(pixels(size)) ** 2).sum().backward()
    still = [name for name, weights in network.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert not still


@pytest.mark.parametrize("name", ["cells", "cells of a CNN", "cells of a ResNet", "cells of a ViT by name"])
def test_cells_are_where_their_pixels_are(name: str) -> None:
    """A change in one corner moves the logits of that corner more than those of the opposite one."""
    architecture, task, size, _ = NETWORKS[name]
    network = built(architecture, task, size)
    other = pixels(size)
    other[..., : size // 4, -size // 4 :] += 3.0
    moved = (network(other) - network(pixels(size))).abs().amax(dim=(0, 3))  # [h, w]
    assert moved[0, -1] > 2 * moved[-1, 0]


def test_values_are_in_the_units_of_the_data() -> None:
    head = ValueHead(16, 2)
    head.mean.copy_(torch.tensor([1e4, -2.0]))
    head.deviation.copy_(torch.tensor([100.0, 1e-3]))
    x = torch.randn(3, 16)
    values = head(x)
    torch.testing.assert_close(
        head.standard(values), torch.nn.functional.linear(x, head.weight, head.bias), atol=1e-3, rtol=0
    )
    assert {"mean", "deviation"} <= head.state_dict().keys()


IMPOSSIBLE: list[tuple[Architecture, TaskName, str]] = [
    (
        ViT(**SMALL, head="set"),
        "classification",
        "the head set predicts several labels an image, and these data have one",
    ),
    (ViT(**SMALL, head="set"), "regression", "choose linear"),
    (ViT(**SMALL, head="cosine"), "multilabel", "these data have several labels an image: choose linear, set"),
    (ViT(**SMALL, head="cosine"), "dense", "the head cosine predicts one label an image"),
    (
        ViT(**SMALL, pool="token"),
        "dense",
        "the task is dense, which reads all vectors, so the pool 'token' has no effect",
    ),
    (ViT(**SMALL, pool="map", head="set"), "multilabel", "the head is set, which reads all vectors, so the pool 'map'"),
    (CNN(width=4, stages=3, blocks=1), "dense", "a grid of 5×5 cells does not divide an image of 18"),
]


@pytest.mark.parametrize(("architecture", "task", "reason"), IMPOSSIBLE, ids=lambda value: str(value)[-40:])
def test_a_head_that_does_not_fit_the_task_is_refused(architecture: Architecture, task: TaskName, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        built(architecture, task, 18 if "stages" in repr(architecture) else 16)


@pytest.mark.parametrize("settings", [{"queries": 0}, {"nothing": -1.0}, {"layers": 1.5}, {"depth": 3}])
def test_invalid_settings_of_a_set_head_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the head set"):
        ViT(**SMALL, head={"name": "set", **settings})


def am_softmax(cosines: Tensor, labels: Tensor, s: float, m: float) -> Tensor:
    """The loss as the paper writes it."""
    total = torch.zeros((), dtype=cosines.dtype)
    for row, label in zip(cosines, labels.tolist(), strict=True):
        right = torch.exp(s * (row[label] - m))
        others = sum(torch.exp(s * row[j]) for j in range(len(row)) if j != label)
        total = total - torch.log(right / (right + others))
    return total / len(labels)


def test_cosine_with_its_margin_is_the_papers_loss() -> None:
    torch.manual_seed(0)
    head = Cosine(16, 5).double()
    x, labels = torch.randn(6, 16, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0])
    cosines = torch.stack([F.cosine_similarity(x, w.expand(6, 16)) for w in head.weight], dim=1)
    torch.testing.assert_close(head(x), 30 * cosines, atol=1e-12, rtol=0)
    loss = F.cross_entropy(head.with_margin(head(x), labels), labels)
    torch.testing.assert_close(loss, am_softmax(cosines, labels, 30.0, 0.35), atol=1e-12, rtol=0)


def test_a_blend_of_two_classes_shares_the_margin() -> None:
    head, logits = Cosine(4, 3, scale=10.0, margin=0.2), torch.zeros(1, 3)
    assert head.with_margin(logits, torch.tensor([[0.25, 0.75, 0.0]])).tolist() == [[-0.5, -1.5, 0.0]]
    assert head.with_margin(logits, torch.tensor([1])).tolist() == [[0.0, -2.0, 0.0]]


def test_cosine_ignores_the_length_of_vectors() -> None:
    head = Cosine(16, 5)
    x = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(x), head(7 * x))
    assert torch.equal(head(torch.zeros(1, 16)), torch.zeros(1, 5))
