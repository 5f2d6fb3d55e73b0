"""Every mechanism, position and tokenizer in every meaningful pair: fitted for a few steps, exported and verified."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.exporting.graph import Graph, graph_of, to_onnx
from vitrail.exporting.parity import prove
from vitrail.images.canvas import InputRule
from vitrail.images.patches import batch_of
from vitrail.models import ViT
from vitrail.models.components import MIXERS
from vitrail.models.input import together
from vitrail.tasks.classification.training import ClassificationTraining
from vitrail.vectors.positions import NAMES

Images = NDArray[np.uint8]
Pair = tuple[str, str, str]  # what lets vectors see each other, positions, and how an image becomes vectors
SIDE, CLASSES, STEPS = 12, 3, 4
TOKENIZERS: dict[str, dict[str, Any]] = {
    "patches": {"patch": 2},
    "pixels": {"patch": 1},
    "overlapping": {"patch": 2, "stem": "overlapping"},
    "conv": {"patch": 2, "stem": "conv"},
    "hybrid": {"patch": 2, "stem": "hybrid"},
    "sets": {"patch": 2},  # patches of images at their own shapes
}
SETTINGS: dict[str, dict[str, Any]] = {"window": {"reach": 1}, "dilated": {"reach": 1, "step": 2}, "fc": {"reach": 1}}
INSIDE = ("relative", "shaw", "quadratic", "floater", "rope")
# Shaw's vectors for each pair of vectors are softmax's alone; what scores no pairs has no score to add to; rope makes
# the weights of linear attention negative; a rival has no attention to put positions into.
MEANINGLESS = {
    *((mixer, "shaw") for mixer in MIXERS if mixer != "softmax"),
    *((mixer, positions) for mixer in ("linear", "inducing") for positions in ("relative", "quadratic")),
    ("linear", "rope"),
    *((rival, positions) for rival in ("fc", "lstm", "gru") for positions in INSIDE),
}


def network_of(pair: Pair) -> ViT:
    mixer, positions, tokenizer = pair
    return ViT(
        width=16,
        depth=1,
        heads=2,
        attention={"name": mixer, **SETTINGS.get(mixer, {})},
        positions=positions,
        **TOKENIZERS[tokenizer],
    )


def is_refused(mixer: str, positions: str) -> bool:
    try:
        network_of((mixer, positions, "patches"))
    except UsageError:
        return True
    return False


def test_what_has_no_meaning_is_refused_and_nothing_else() -> None:
    assert {pair for pair in product(MIXERS, NAMES) if is_refused(*pair)} == MEANINGLESS


@cache
def pairs() -> list[Pair]:
    """Networks that have each pair of two of the three; each takes the tokenizer of most pairs that are still open."""
    found: list[Pair] = []
    meaningful = [pair for pair in product(MIXERS, NAMES) if pair not in MEANINGLESS]
    open_ = {each for mixer, positions in meaningful for each in product((mixer, positions), TOKENIZERS)}
    for mixer, positions in meaningful:
        tokenizer = max(TOKENIZERS, key=lambda one: len(open_ & {(mixer, one), (positions, one)}))
        found.append((mixer, positions, tokenizer))
        open_ -= {(mixer, tokenizer), (positions, tokenizer)}
    for part, tokenizer in sorted(open_):
        mixer, positions = next(pair for pair in meaningful if part in pair)
        found.append((mixer, positions, tokenizer))
    return found


def images_of(rule: InputRule, count: int = 16) -> Images:
    """Of three classes, by brightness; of several shapes where they keep them."""
    random = np.random.default_rng(0)
    grids = ((6, 6), (2, 9), (7, 5), (1, 1), (4, 9), (3, 3)) if rule.is_native else ((6, 6),)
    shapes = [grids[number % len(grids)] for number in range(count)]
    images = [
        random.integers(80 * (number % CLASSES), 80 * (number % CLASSES) + 90, (2 * rows, 2 * columns, 3), np.uint8)
        for number, (rows, columns) in enumerate(shapes)
    ]
    return batch_of(images) if rule.is_native else np.stack(images)


def fitted(pair: Pair, rule: InputRule, images: Images) -> Graph:
    """After a few steps, in which every weight has a gradient and the loss falls."""
    torch.manual_seed(0)
    network = network_of(pair).build_for(rule, CLASSES)
    graph, task = graph_of(network, rule, 1.0, "classification").train(), ClassificationTraining(CLASSES, 0.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    inputs, target = graph.input.normalised(together(images, rule)), torch.arange(len(images)) % CLASSES
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = task.loss(network, inputs, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [name for name, weights in network.named_parameters() if weights.grad is None] == []
    assert losses[-1] < losses[0]
    return graph.eval()


@pytest.mark.long
@pytest.mark.parametrize("pair", pairs(), ids="-".join)
def test_every_pair_is_fitted_exported_and_verified(pair: Pair) -> None:
    rule = InputRule(SIDE, "native", patch=2) if pair[2] == "sets" else InputRule(SIDE)
    images = images_of(rule)
    graph = fitted(pair, rule, images)
    prove(graph, to_onnx(graph), images)
