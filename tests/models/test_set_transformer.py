"""Sets of any number of vectors: as pixels on squares, each as alone, and padding without effect."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, ViT
from vitrail.models.input import Input, channels_first, together
from vitrail.models.network import logits_and_embedding
from vitrail.models.set_transformer import resized_kernel, stretched
from vitrail.tasks.task import TaskName
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.vectors.positions import NAMES
from vitrail.vectors.sets import VectorSet


def is_possible(attention: str, positions: str) -> bool:
    """Whether the network takes these parts together."""
    try:
        ViT(patch=4, width=32, depth=1, heads=4, attention=attention, positions=positions)
    except UsageError:
        return False
    return True


RULE = InputRule(16, "native", patch=4, std=(0.5, 0.4, 0.3))
ATTENTION: list[Any] = [
    "softmax",
    "additive",
    "relu",
    "linear",
    {"name": "inducing", "points": 3},
    {"name": "window", "reach": 1},
    {"name": "dilated", "reach": 1, "step": 1},
    {"name": "graph", "neighbours": 4},
    "gpsa",
    {"name": "fc", "reach": 1},
    "lstm",
    "gru",
]
PAIRS = [
    (attention, positions)
    for attention, positions in product(ATTENTION, NAMES)
    if is_possible(attention if isinstance(attention, str) else attention["name"], positions)
]
POOLS: list[Any] = ["mean", "token", "max", "map", "attentive"]
SHAPES = ((4, 4), (1, 7), (5, 2), (1, 1))


def images(*grids: tuple[int, int]) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (4 * rows, 4 * columns, 3), np.uint8) for rows, columns in grids]


def sets(canvases: list[NDArray[np.uint8]]) -> VectorSet:
    patches: VectorSet = together(canvases, RULE)
    return Input(RULE).normalised(patches)


def network(task: TaskName = "classification", **options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    made = ViT(**{"patch": 4, "width": 32, "depth": 2, "heads": 4, **options}).build_for(RULE, 5, task).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # nothing stays at zero, where an error could hide
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize(("attention", "positions"), PAIRS, ids=str)
def test_squares_are_as_pixels(attention: Any, positions: str) -> None:
    squares = images((4, 4), (4, 4), (4, 4))
    net = network(attention=attention, positions=positions)
    pixels = Input(InputRule(16, std=RULE.std)).normalised(channels_first(torch.from_numpy(np.stack(squares))))
    torch.testing.assert_close(net(sets(squares)), net(pixels), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("attention", "positions"), PAIRS, ids=str)
@pytest.mark.parametrize("pool", ["mean", "token"])
def test_each_of_a_batch_is_as_alone(attention: Any, positions: str, pool: Any) -> None:
    several = images(*SHAPES)
    if isinstance(attention, dict) and attention["name"] == "fc":
        pool = "mean"  # it has no class token
    net = network(attention=attention, positions=positions, pool=pool)
    alone = torch.cat([net(sets([one])) for one in several])
    torch.testing.assert_close(net(sets(several)), alone, atol=1e-5, rtol=0)
    assert (alone[1:] - alone[:-1]).abs().amax(dim=1).min() > 1e-3


def test_heads_of_sets_have_reaches_of_their_own() -> None:
    torch.manual_seed(0)
    rule = InputRule(24, "native", patch=4)
    net = ViT(patch=4, width=32, depth=1, heads=4, attention={"name": "window", "reach": [1, 2, 1, 2]}).build_for(
        rule, 5
    )
    attention = net.get_submodule("blocks.0.attn")
    visible = together(images((2, 9)), rule).visible(0)
    weights = attention.weights(torch.randn(1, 18, 32), visible)  # type: ignore[operator]
    reach = visible.offsets[0].abs().amax(dim=-1)
    for head, expected in enumerate([1, 2, 1, 2]):
        assert reach[weights[0, head] > 0].max() == expected


def test_conformers_convolve_sets_as_grids() -> None:
    net = network(block="conformer", positions="conditional")
    squares, several = images((4, 4), (4, 4)), images(*SHAPES)
    pixels = Input(InputRule(16, std=RULE.std)).normalised(channels_first(torch.from_numpy(np.stack(squares))))
    torch.testing.assert_close(net(sets(squares)), net(pixels), atol=1e-5, rtol=0)
    alone = torch.cat([net(sets([one])) for one in several])
    torch.testing.assert_close(net(sets(several)), alone, atol=1e-5, rtol=0)
    net.train()
    torch.testing.assert_close(net(sets(squares)), net(pixels), atol=1e-4, rtol=0)  # by statistics of the batch
    padded = net(sets(images((4, 4), (4, 4), (1, 2))))
    apart = sets(images((4, 4), (4, 4), (1, 2)))
    noise = torch.randn_like(apart.vectors).masked_fill(apart.mask.unsqueeze(-1), 0.0)
    torch.testing.assert_close(net(apart.with_vectors(apart.vectors + noise)), padded, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pool", ["max", "map", "attentive"])
def test_pools_count_no_padding(pool: Any) -> None:
    several = images(*SHAPES)
    net = network(pool=pool)
    alone = torch.cat([net(sets([one])) for one in several])
    torch.testing.assert_close(net(sets(several)), alone, atol=1e-5, rtol=0)
    assert (alone[1:] - alone[:-1]).abs().amax(dim=1).min() > 1e-3


READERS: dict[str, TaskName] = {
    "set": "multilabel",
    "autoregressive": "sequence",
    "parallel": "sequence",
    "boxes": "detection",
}


@pytest.mark.parametrize(("head", "task"), READERS.items())
def test_heads_read_all_vectors_of_each_set_and_no_padding(head: str, task: TaskName) -> None:
    several = images(*SHAPES)
    net = network(task, head=head)
    alone = [logits_and_embedding(net, sets([one])) for one in several]
    together_ = logits_and_embedding(net, sets(several))
    for actual, expected in zip(together_, map(torch.cat, zip(*alone, strict=True)), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
        assert (expected[1:] - expected[:-1]).abs().flatten(1).amax(dim=1).min() > 1e-3
    squares = images((4, 4), (4, 4))
    pixels = Input(InputRule(16, std=RULE.std)).normalised(channels_first(torch.from_numpy(np.stack(squares))))
    torch.testing.assert_close(net(sets(squares)), net(pixels), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("head", "task"), READERS.items())
def test_they_are_trained_on_sets(head: str, task: TaskName) -> None:
    net, several = network(task, head=head).train(), sets(images(*SHAPES))
    targets: dict[TaskName, torch.Tensor] = {
        "multilabel": torch.eye(4, 5, dtype=torch.int64),
        "sequence": torch.tensor([[0, 1], [2, -1], [3, 4], [1, -1]]),
        "detection": torch.tensor([[[label, 0.1, 0.1, 0.4, 0.9]] for label in range(4)]),
    }
    vectors = several.vectors.clone().requires_grad_()
    training = TRAINING_TASKS[task](5, 0.0)
    training.loss(net, several.with_vectors(vectors), targets[task]).backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad.abs().amax(dim=-1) > 0, several.mask)


def test_what_padding_holds_has_no_effect() -> None:
    net, padded = network(), sets(images(*SHAPES))
    noise = torch.randn_like(padded.vectors).masked_fill(padded.mask.unsqueeze(-1), 0.0)
    torch.testing.assert_close(net(padded.with_vectors(padded.vectors + noise)), net(padded), atol=1e-6, rtol=0)


def test_gradients_of_padding_are_zero_and_of_all_else_are_not() -> None:
    net, padded = network(), sets(images((2, 2), (1, 3)))
    vectors = padded.vectors.clone().requires_grad_()
    net(padded.with_vectors(vectors)).square().sum().backward()
    assert vectors.grad is not None
    reached = vectors.grad.abs().amax(dim=-1) > 0
    assert torch.equal(reached, padded.mask)


def test_the_order_of_a_set_has_no_effect_without_positions() -> None:
    net, ordered = network(positions="none", pool="attentive"), sets(images((4, 3)))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = VectorSet(ordered.vectors[:, order], ordered.mask[:, order], ordered.positions[:, order])
    torch.testing.assert_close(net(shuffled), net(ordered), atol=1e-6, rtol=0)


@pytest.mark.parametrize("positions", ["learned", "sincos2d"])
def test_positions_go_with_their_vectors(positions: str) -> None:
    """In another order, but each with its row and column, the set is the same."""
    net, ordered = network(positions=positions), sets(images((4, 3)))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = VectorSet(ordered.vectors[:, order], ordered.mask[:, order], ordered.positions[:, order])
    torch.testing.assert_close(net(shuffled), net(ordered), atol=1e-6, rtol=0)
    moved = VectorSet(ordered.vectors[:, order], ordered.mask, ordered.positions)
    assert (net(moved) - net(ordered)).abs().max() > 1e-4


@pytest.mark.parametrize("grid", [(4, 4), (9, 3), (2, 7), (1, 1)])
def test_learned_positions_stretch_as_torch_interpolates(grid: tuple[int, int]) -> None:
    table = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    there = stretched(table, sets(images(grid, (3, 9)) + images((10, 3))), (4, 4))[0, : grid[0] * grid[1]]
    on_grid = table.reshape(1, 4, 4, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(on_grid, grid, mode="bilinear", antialias=True).flatten(2)[0].T
    torch.testing.assert_close(there, expected, atol=1e-5, rtol=0)


def test_weights_are_those_of_the_network_for_squares() -> None:
    architecture = ViT(patch=4, width=32, depth=2, heads=4)
    plain = architecture.build(5, 16)
    architecture.build_for(RULE, 5).load_state_dict(plain.state_dict())


def test_a_network_of_timm_by_name_takes_sets() -> None:
    rule = InputRule(64, "native", patch=16)
    net = ViT(name="vit_tiny_patch16_224").build_for(rule, 3).eval()
    canvases = [np.full((16 * rows, 16 * columns, 3), 90, np.uint8) for rows, columns in ((4, 4), (2, 7))]
    both = Input(rule).normalised(together(canvases, rule))
    first = net.forward_features(both)  # type: ignore[operator]
    assert first.vectors.shape == (2, 17, 192)
    alone = Input(rule).normalised(together(canvases[1:], rule))
    torch.testing.assert_close(net(both)[1:], net(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [4, 6, 9])
def test_a_resized_kernel_sees_an_enlarged_patch_as_the_kernel_sees_the_patch(side: int) -> None:
    random = torch.Generator().manual_seed(0)
    patches, kernel = torch.randn(5, 3, 4, 4, generator=random), torch.randn(7, 3, 4, 4, generator=random)
    enlarged = F.interpolate(patches, (side, side), mode="bilinear", antialias=True)
    seen = enlarged.flatten(1) @ resized_kernel(kernel, side).flatten(1).T
    torch.testing.assert_close(seen, patches.flatten(1) @ kernel.flatten(1).T, atol=1e-4, rtol=0)


def test_patches_of_another_side_train_the_same_weights() -> None:
    net, rule = network(), InputRule(16, "native", patch=8)
    canvases = [np.full((16, 8, 3), 200, np.uint8)]
    net(Input(rule).normalised(together(canvases, rule))).sum().backward()
    gradient = net.get_submodule("patch_embed.proj").weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert gradient.abs().max() > 0


def test_in_training_each_set_loses_the_same_share_of_its_vectors() -> None:
    net, several = network(drop_patches=0.5, pool="token"), sets(images(*SHAPES))
    with torch.no_grad():
        evaluated = net(several)
        assert torch.equal(evaluated, network(pool="token")(several))
        net.train()
        features = net.forward_features(several)  # type: ignore[operator]
    counts = features.mask.sum(dim=1).tolist()
    assert counts == [8, 4, 5, 1]  # of 16, 7, 10 and 1
    assert features.vectors.shape[1] == 1 + max(counts)
    for kept, mask, (rows, columns) in zip(features.positions, features.mask, SHAPES, strict=True):
        places = [tuple(place) for place in kept[mask].tolist()]
        assert len(set(places)) == len(places)
        assert all(row < rows and column < columns for row, column in places)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_patches": 1.0}, "from 0 to below 1"),
        ({"drop_patches": 0.2, "norm": "batch"}, "leaves images of any number of vectors, and norm 'batch'"),
    ],
)
def test_patches_that_cannot_be_dropped_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ViT(**{"patch": 4, "width": 32, "depth": 1, "heads": 4, **options})


@pytest.mark.parametrize(
    "options",
    [{"attention": "gpsa"}, {"attention": "lstm"}, {"positions": "relative"}, {"block": "conformer"}],
    ids=str,
)
def test_squares_without_all_patches_are_no_grid(options: dict[str, Any]) -> None:
    """Sets know where each vector is, so the same parts take them."""
    architecture = ViT(**{"patch": 4, "width": 32, "depth": 1, "heads": 4, "drop_patches": 0.4, **options})
    with pytest.raises(UsageError, match="drop_patches leaves squares as images of any number of vectors"):
        architecture.build(5, 16)
    network = architecture.build_for(RULE, 5).train()
    assert network(sets(images(*SHAPES))).shape == (4, 5)


def test_vectors_that_stay_keep_their_order() -> None:
    net, several = network(drop_patches=0.5), sets(images(*SHAPES))
    kept = net.train().forward_features(several).positions  # type: ignore[operator]
    numbers = (kept[0] @ torch.tensor([4, 1])).tolist()
    assert numbers == sorted(numbers)


def test_a_map_needs_all_patches() -> None:
    with pytest.raises(UsageError, match="needs all patches"):
        ViT(patch=4, width=32, depth=1, heads=4, drop_patches=0.2).build(5, 16, "dense")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "batch"}, "norm 'batch'"),
        ({"stem": "conv"}, "no plain Vision Transformer on patches"),
        ({"patch": 2}, "patches of 2, and --data.patch is 4"),
        ({"name": "beit_base_patch16_224", "patch": 16}, "no plain Vision Transformer"),
    ],
)
def test_parts_that_are_made_for_one_grid_are_refused(options: dict[str, Any], message: str) -> None:
    size = 224 if "name" in options else 16
    rule = InputRule(size, "native", patch=16 if "name" in options else 4)
    with pytest.raises(UsageError, match=message):
        ViT(**{"patch": 4, "width": 32, "depth": 1, "heads": 4, **options}).build_for(rule, 5)


def test_maps_and_cnns_are_refused() -> None:
    with pytest.raises(UsageError, match="maps are squares"):
        ViT(patch=4, width=32, depth=1, heads=4).build_for(RULE, 5, "dense")
    with pytest.raises(UsageError, match="CNN takes squares"):
        CNN().build_for(RULE, 5)
