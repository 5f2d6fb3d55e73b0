"""Every part of a ViT as ONNX: the file computes what the network does, in batches of 1, 3 and 8; pairs: test_pairs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vitrail.exporting.graph import Graph, graph_of, to_onnx
from vitrail.exporting.parity import by_file, by_network, cpu_session
from vitrail.images.canvas import InputRule
from vitrail.images.patches import batch_of
from vitrail.models import ViT
from vitrail.tasks.task import TaskName

WINDOW = {"name": "window", "reach": 1}
DILATED = {"name": "dilated", "reach": 1, "step": 2}
TINY: dict[str, Any] = {"patch": 2, "width": 16, "depth": 1, "heads": 2}

# Each mechanism, position, pool, head, block, norm and stem at least once, several a network to save exports; every
# second one takes its time in `make test-long`.
ALWAYS: list[dict[str, Any]] = [
    {"attention": "softmax", "positions": "relative", "pool": "token"},
    {"attention": "additive", "positions": "none", "pool": "max", "norm": "batch"},
    {"attention": "relu", "positions": "quadratic", "pool": "map"},
    {"attention": "linear", "positions": "floater", "pool": "attentive"},
    {"attention": WINDOW, "positions": "rope", "pool": "token"},
    {"attention": "softmax", "positions": "shaw", "pool": "token"},
    {"attention": DILATED, "positions": "sincos2d", "pool": "mean", "patch": 1},
    {"attention": "graph", "positions": "relative", "pool": "token", "head": "cosine"},
    {"attention": "gpsa", "positions": "learned", "pool": "token"},
    {"attention": "inducing", "block": "conformer", "pool": "token", "positions": "conditional", "stem": "conv"},
    {"attention": {"name": "fc", "reach": 1}, "positions": "sincos2d", "pool": "attentive"},
    {"attention": "lstm", "pool": "token", "block": "conformer"},
    {"attention": "gru", "positions": "none", "pool": "max"},
    {"attention": {"name": "dilated", "reach": [1, 2], "step": 1}, "positions": "relative", "patch": 1},
    {"attention": {"name": "window", "reach": [3, 1]}, "pool": "token", "patch": 1},
    {"stem": "overlapping", "positions": "rope", "pool": "attentive"},
    {"stem": "hybrid", "pool": "token", "patch": 4},
]
TILED: list[dict[str, Any]] = [
    {"attention": {"name": "window", "reach": [1, 3]}, "pool": "token", "positions": "relative", "patch": 1},
    {"attention": {"name": "window", "reach": 3}, "pool": "token", "positions": "relative", "patch": 1},
    {"attention": {"name": "dilated", "reach": 1, "step": 2}, "pool": "token", "positions": "quadratic", "patch": 1},
]
SCORED = ("softmax", "additive", "relu", WINDOW, "graph", "gpsa")
LONG: list[dict[str, Any]] = [
    *({"block": "conformer", "attention": attention, "norm": "batch"} for attention in SCORED),
    {"stem": "hybrid"},
    {"stem": {"name": "hybrid", "backbone": "resnet10t"}, "patch": 4},
    {"patch": 1},
    *({"pool": pool, "head": "cosine"} for pool in ("token", "mean", "max", "map", "attentive")),
]


def awake(variant: dict[str, Any], size: int, images: np.ndarray) -> Graph:
    """A network without zero weights, with statistics of these images."""
    torch.manual_seed(0)
    network = ViT(**TINY | variant).build(5, size)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "norm" not in name:
                weights.normal_(std=0.3)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = None
        graph = Graph(network, InputRule(size), temperature=1.0)
        graph.train()(torch.from_numpy(images))
    return graph.eval()


def refuse_differences(variant: dict[str, Any], size: int = 8) -> Graph:
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    graph = awake(variant, size, images)
    session = cpu_session(to_onnx(graph))
    for count in (1, 3, 8):
        outputs, expected = by_file(session, images[:count]), by_network(graph, images[:count])
        np.testing.assert_allclose(outputs, expected, atol=1e-5 * max(1.0, float(expected.std())), rtol=0)
    assert by_file(session, images).std(axis=0).max() > 0.01  # images do differ
    return graph


def label(variant: dict[str, Any]) -> str:
    return "-".join(part["name"] if isinstance(part, dict) else str(part) for part in variant.values())


@pytest.mark.parametrize(
    "variant",
    [pytest.param(each, marks=() if number % 4 == 1 else pytest.mark.long) for number, each in enumerate(ALWAYS)],
    ids=label,
)
def test_parts_in_the_file_give_torchs_outputs(variant: dict[str, Any]) -> None:
    refuse_differences(variant)


@pytest.mark.long
@pytest.mark.parametrize("variant", TILED, ids=label)
def test_tiles_in_the_file_give_torchs_outputs(variant: dict[str, Any]) -> None:
    graph = refuse_differences(variant, size=24)
    assert graph.network.blocks[0].attn.tiled


@pytest.mark.long
@pytest.mark.parametrize("variant", LONG, ids=label)
def test_more_parts_in_the_file_give_torchs_outputs(variant: dict[str, Any]) -> None:
    refuse_differences(variant)


# Each mechanism, position and pool at least once.
SETS: list[dict[str, Any]] = [
    {"attention": "softmax", "positions": "shaw", "pool": "token"},
    {"attention": "additive", "positions": "relative", "pool": "max"},
    {"attention": "relu", "positions": "quadratic", "pool": "map"},
    {"attention": "linear", "positions": "floater", "pool": "attentive"},
    {"attention": WINDOW, "positions": "rope", "pool": "token"},
    {"attention": {"name": "dilated", "reach": 1, "step": 1}, "positions": "sincos2d"},
    {"attention": "graph", "positions": "learned", "head": "cosine"},
    {"attention": "gpsa", "positions": "conditional", "pool": "token"},
    {"attention": "inducing", "positions": "sincos1d"},
    {"attention": "lstm", "positions": "none", "pool": "token"},
    {"attention": {"name": "fc", "reach": 1}, "block": "conformer"},
    {"head": "set", "task": "multilabel"},
    {"head": "autoregressive", "task": "sequence"},
    {"head": "parallel", "task": "sequence"},
    {"head": "boxes", "task": "detection"},
]
NATIVE = InputRule(8, "native", patch=2)


def refuse_differences_of_sets(variant: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    grids = ((4, 4), (1, 7), (5, 2), (1, 1), (4, 4), (3, 2))
    images = batch_of([random.integers(0, 256, (2 * rows, 2 * columns, 3), np.uint8) for rows, columns in grids])
    torch.manual_seed(0)
    parts = dict(variant)
    task: TaskName = parts.pop("task", "classification")
    network = ViT(**TINY | parts).build_for(NATIVE, 5, task)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "norm" not in name:
                weights.normal_(std=0.3)
    graph = graph_of(network, NATIVE, 1.0, task)
    session = cpu_session(to_onnx(graph))
    expected = by_network(graph, images)
    for count in (1, 3, 6):
        outputs = by_file(session, images[:count])
        np.testing.assert_allclose(outputs, expected[:count], atol=1e-5 * max(1.0, float(expected.std())), rtol=0)
    assert expected.std(axis=0).max() > 0.01


@pytest.mark.parametrize(
    "variant",
    [pytest.param(each, marks=() if number % 8 == 1 else pytest.mark.long) for number, each in enumerate(SETS)],
    ids=label,
)
def test_sets_in_the_file_give_torchs_outputs(variant: dict[str, Any]) -> None:
    refuse_differences_of_sets(variant)
