"""Networks of the user's own: what the data decide, the head that is found, and what is refused by name."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from vitrail.errors import ModelError, UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.network import logits_and_embedding
from vitrail.models.own_network import Called, OwnNetwork, architecture_of, derived_arguments
from vitrail.models.timm_models import pixel_statistics

HERE = __name__


class Small(nn.Module):
    """A hidden layer with as many outputs as there are classes stands before the head."""

    def __init__(self, num_classes: int, image_size: int, width: int = 4, act: nn.Module = nn.ReLU()) -> None:  # noqa: B008
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, width), nn.BatchNorm1d(width), act)
        self.wide = nn.Linear(width, num_classes)
        self.head = nn.Linear(num_classes, num_classes)
        self.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.wide(self.body(pixels)))
        return logits


class Logarithms(Small):
    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels).log_softmax(dim=1)


class Pair(Small):
    def forward(self, pixels: Tensor) -> Any:
        return super().forward(pixels), 1


class Seven(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return pixels[:, 0, 0, :7]


def built(kind: type[nn.Module], **arguments: Any) -> Any:
    return OwnNetwork(network=f"{HERE}.{kind.__name__}", arguments=arguments).build(10, 8)


def test_the_head_is_the_linear_layer_that_gives_the_logits() -> None:
    network = built(Small, width=6).eval()
    pixels = torch.randn(3, 3, 8, 8)
    logits, embedding = logits_and_embedding(network, pixels)
    assert network.get_classifier() is network.network.head
    assert torch.equal(logits, network.network(pixels))
    assert torch.equal(embedding, network.network.wide(network.network.body(pixels)))


def test_without_such_a_layer_the_logits_are_the_embedding() -> None:
    network = built(Logarithms).eval()
    pixels = torch.randn(3, 3, 8, 8)
    logits, embedding = logits_and_embedding(network, pixels)
    assert torch.equal(logits, embedding)
    assert logits.exp().sum(dim=1).allclose(torch.ones(3))


def test_a_trial_call_changes_neither_modes_nor_statistics_nor_random_numbers() -> None:
    made = Small(10, 8)
    made.wide.eval()
    before = torch.get_rng_state()
    network = Called(made, 10, 8)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training
    assert made.body.training
    assert not made.wide.training
    assert int(made.body[2].num_batches_tracked) == 0  # type: ignore[arg-type]


def test_its_pixel_statistics_are_kept() -> None:
    assert pixel_statistics(built(Small)) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Pair, r"Pair gives outputs in a tuple for 2 images of 10 classes, not logits \[2, 10\]"),
        (Seven, r"Seven gives outputs of shape \[2, 7\]"),
    ],
)
def test_other_outputs_are_refused_before_training(kind: type[nn.Module], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        built(kind)


def test_what_does_not_fit_the_images_is_refused() -> None:
    fitting_28 = Small(10, 28)
    with pytest.raises(UsageError, match=r"Small cannot be called on pixels \[2, 3, 8, 8\]"):
        Called(fitting_28, 10, 8)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="the task is dense, and"):
        OwnNetwork(network=f"{HERE}.Small").build(10, 8, "dense")


def test_objects_that_the_constructor_makes_itself_are_left_out() -> None:
    recipe = partial(Small, width=9, act=nn.ReLU())
    given = architecture_of(partial(recipe.func, Small, **recipe.keywords))
    assert given == OwnNetwork(network=f"{HERE}.Small", arguments={"width": 9})
    given.check_plain()


def test_arguments_that_a_checkpoint_cannot_hold_are_named() -> None:
    with pytest.raises(ModelError, match=r"cannot hold the arguments of .*Small: Object of type GELU"):
        OwnNetwork(network=f"{HERE}.Small", arguments={"act": nn.GELU()}).check_plain()


def test_a_function_passes_the_number_of_classes_on() -> None:
    assert derived_arguments(resnet18, 7, 32) == {"num_classes": 7}
    assert derived_arguments(Small, 7, 32) == {"num_classes": 7, "image_size": 32}


def test_plain_data_of_a_network_are_an_architecture() -> None:
    plain = {"class_path": "torchvision.models.resnet18", "init_args": {}}
    made = Architecture.from_plain(plain)
    assert made == OwnNetwork(network="torchvision.models.resnet18")
    assert made.to_plain() == plain
    started = OwnNetwork(network="torchvision.models.resnet18", pretrained="run.ckpt")
    assert [Architecture.from_plain(one.to_plain()) for one in (made, started)] == [made, started]


@pytest.mark.parametrize(
    ("path", "words"),
    [("no_such_module.Net", "cannot be imported here"), (f"{HERE}.HERE", "makes no network")],
)
def test_paths_of_no_network(path: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        OwnNetwork(network=path).build(10, 8)
