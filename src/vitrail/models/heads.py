"""Which heads a task may have, and how one is put into any network."""

from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.tasks.task import TaskName

# A head's settings as they are by themselves, and the tasks that it is for.
HEADS: dict[str, dict[str, int | float]] = {
    "linear": {},
    "cosine": {"scale": 30.0, "margin": 0.35},
    "set": {"queries": 16, "layers": 2, "nothing": 0.2},
}
TASKS_OF: dict[str, tuple[TaskName, ...]] = {
    "linear": ("classification", "multilabel", "regression", "dense"),
    "cosine": ("classification",),
    "set": ("multilabel",),
}
TELLS: dict[TaskName, str] = {
    "classification": "one label an image",
    "multilabel": "several labels an image",
    "regression": "values of an image",
    "dense": "a label for each place",
}


def refuse_unfit(head: str, task: TaskName) -> None:
    """A head that cannot tell what the data ask for."""
    if task not in TASKS_OF[head]:
        able = " or ".join(TELLS[one] for one in TASKS_OF[head])
        fit = ", ".join(name for name, tasks in TASKS_OF.items() if task in tasks)
        raise UsageError(f"the head {head} tells {able}, and these data have {TELLS[task]}: choose {fit}")


def reads_vectors(head: str, task: TaskName) -> bool:
    """Whether a head reads all vectors of an image, in place of the one that they are pooled to."""
    return head == "set" or task == "dense"


class ValueHead(nn.Linear):
    """A linear layer whose answers are in the units of the data; it learns them as deviations from the mean."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, values: int) -> None:
        super().__init__(width, values)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("deviation", torch.ones(values))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, D] → values [B, K]."""
        return super().forward(x) * self.deviation + self.mean

    def standard(self, values: Tensor) -> Tensor:
        """Values as deviations from the mean, which are of one size whatever the units."""
        return (values - self.mean) / self.deviation


class PlaceHead(nn.Linear):
    """One linear layer for every place; vectors that are no places, such as class tokens, stand before these."""

    def __init__(self, width: int, classes: int, grid: tuple[int, int], prefix: int = 0) -> None:
        super().__init__(width, classes)
        self.grid = grid
        self.prefix = prefix

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, prefix + h · w, D] → logits [B, h, w, K]."""
        rows, columns = self.grid
        return super().forward(vectors[:, self.prefix :]).view(vectors.shape[0], rows, columns, self.out_features)


def put_head(network: nn.Module, head: nn.Module) -> None:
    """In the place of the one that the network has."""
    old: Any = network.get_classifier()  # type: ignore[operator]
    place = next(name for name, module in network.named_modules() if module is old)
    network.set_submodule(place, head)


def put_values(network: nn.Module) -> nn.Module:
    """Let the network answer in the units of the data."""
    old: Any = network.get_classifier()  # type: ignore[operator]
    if not isinstance(old, nn.Linear):
        raise UsageError(
            f"{type(network).__name__} answers by {type(old).__name__} and not by one linear layer, so it cannot be "
            "told the units of values: choose another network"
        )
    put_head(network, ValueHead(old.in_features, old.out_features))
    return network


def refuse_uneven(size: int, grid: tuple[int, int]) -> None:
    """Places of a grid that do not all show as many pixels would not know which of them to answer for."""
    if any(size % side for side in grid):
        raise UsageError(
            f"a grid of {grid[0]}×{grid[1]} places does not divide an image of {size}: choose a size that it divides"
        )
